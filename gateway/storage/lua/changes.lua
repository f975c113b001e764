-- One stretch of the change feed: documents under some prefixes whose revision is above ARGV[1].
-- Looks at `span` documents at most, so that a long feed never holds up the server; puts of one commit
-- share a revision and are never torn apart.
--
-- KEYS[1]  meta (hash; field `revision`)
-- KEYS[2]  documents (hash: key → value)
-- KEYS[3]  feed (sorted set: key by revision)
-- ARGV[1]  revision after which to start
-- ARGV[2]  most documents to answer with (more if one commit holds more)
-- ARGV[3]  span
-- ARGV[4…] prefixes
--
-- Answer: {revision to go on from, 1 if that is the end, key, revision, value, …}

local limit = tonumber(ARGV[2])
local span = tonumber(ARGV[3])
local answer = {redis.call('HGET', KEYS[1], 'revision') or '0', 1}

local function wanted(key)
  for i = 4, #ARGV do
    if string.sub(key, 1, #ARGV[i]) == ARGV[i] then
      return true
    end
  end
  return false
end

local feed = redis.call('ZRANGE', KEYS[3], '(' .. ARGV[1], '+inf', 'BYSCORE', 'LIMIT', 0, span, 'WITHSCORES')
local last = nil
local found = 0
local function visit(key, revision)
  if wanted(key) then
    found = found + 1
    answer[#answer + 1] = key
    answer[#answer + 1] = revision
    answer[#answer + 1] = redis.call('HGET', KEYS[2], key)
  end
end

for i = 1, #feed, 2 do
  if found >= limit and feed[i + 1] ~= last then
    answer[1], answer[2] = last, 0
    return answer
  end
  last = feed[i + 1]
  visit(feed[i], last)
end
if #feed == 2 * span then -- the rest of the last revision may lie beyond the span
  local skip = redis.call('ZCOUNT', KEYS[3], '(' .. ARGV[1], '(' .. last)
  local rest = redis.call('ZRANGE', KEYS[3], last, last, 'BYSCORE', 'LIMIT', span - skip, -1)
  for _, key in ipairs(rest) do
    visit(key, last)
  end
  answer[1], answer[2] = last, 0
end
return answer
