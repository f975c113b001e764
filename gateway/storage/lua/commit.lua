-- Write documents, all or none, each if its revision is the expected one.
--
-- A new replication id means that the server was restarted or a replica was promoted: it may have lost
-- commits that it had acknowledged. Then the revision leaps, so that a revision never names two commits
-- and whoever has read the change feed misses nothing; the leap stays written down for all to see.
--
-- KEYS[1]  meta (hash; fields `revision`, `server`, `leap_before`, `leap_after`)
-- KEYS[2]  documents (hash: key → value)
-- KEYS[3]  feed (sorted set: key by revision)
-- KEYS[4]  index (sorted set, all scores 0)
-- KEYS[5]  lease (hash; field `token`)
-- ARGV[1]  the token that must be the lease's newest, or '' for no fence
-- ARGV[2]  width of a leap
-- ARGV[3…] for each document: key, value, expected revision or '' for any
--
-- Answer: {'done', revision, leap_before, leap_after} | {'revised', key, revision} | {'fenced', newest token}

if ARGV[1] ~= '' then
  local newest = redis.call('HGET', KEYS[5], 'token') or '0'
  if newest ~= ARGV[1] then
    return {'fenced', newest}
  end
end
for i = 3, #ARGV, 3 do
  local found = redis.call('ZSCORE', KEYS[3], ARGV[i]) or '0'
  if ARGV[i + 2] ~= '' and tonumber(found) ~= tonumber(ARGV[i + 2]) then
    return {'revised', ARGV[i], found}
  end
end

local known = redis.call('HGET', KEYS[1], 'server')
local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
if server ~= known then
  redis.call('HSET', KEYS[1], 'server', server)
  if known then
    local before = redis.call('HGET', KEYS[1], 'revision')
    local after = redis.call('HINCRBY', KEYS[1], 'revision', ARGV[2])
    redis.call('HSET', KEYS[1], 'leap_before', before, 'leap_after', after)
  end
end

local revision = redis.call('HINCRBY', KEYS[1], 'revision', 1)
for i = 3, #ARGV, 3 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  redis.call('ZADD', KEYS[3], revision, ARGV[i])
  redis.call('ZADD', KEYS[4], 0, ARGV[i])
end
local leap = redis.call('HMGET', KEYS[1], 'leap_before', 'leap_after')
return {'done', revision, leap[1] or '0', leap[2] or '0'}
