-- Mark a claimed item as done: its value goes, its id is remembered for a time. What it came to is added to a
-- log, as in append.lua.
--
-- KEYS[1]  values (hash: id → value)
-- KEYS[2]  claimed (sorted set: id by the end of its lease)
-- KEYS[3]  owners (hash: id → owner)
-- KEYS[4]  attempts (hash: id → number)
-- KEYS[5]  done (sorted set: id by the time it was done)
-- KEYS[6]  log (stream; the id of the record at position n is n-0)
-- KEYS[7]  positions (hash: log → last position given)
-- KEYS[8]  texts (hash: id → text)
-- KEYS[9]  until (sorted set: id by when its text's time is over)
-- ARGV[1]  id
-- ARGV[2]  owner
-- ARGV[3]  how long ids are remembered, seconds
-- ARGV[4]  the log's name
-- ARGV[5…] records
--
-- Answer: 1, or 0 if the item is not claimed by this owner.

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

for _, old in ipairs(redis.call('ZRANGE', KEYS[5], '-inf', now - ARGV[3], 'BYSCORE', 'LIMIT', 0, 10)) do
  redis.call('ZREM', KEYS[5], old)
end
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('ZREM', KEYS[2], ARGV[1])
for _, fields in ipairs({KEYS[1], KEYS[3], KEYS[4], KEYS[8]}) do
  redis.call('HDEL', fields, ARGV[1])
end
redis.call('ZREM', KEYS[9], ARGV[1])
redis.call('ZADD', KEYS[5], now, ARGV[1])
for i = 5, #ARGV do
  redis.call('XADD', KEYS[6], string.format('%.0f-0', redis.call('HINCRBY', KEYS[7], ARGV[4], 1)), '', ARGV[i])
end
return 1
