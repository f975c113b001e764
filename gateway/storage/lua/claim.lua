-- Take items: first those whose lease has run out, then free ones, oldest first.
--
-- KEYS[1]  values (hash: id → value)
-- KEYS[2]  free (sorted set: id by sequence)
-- KEYS[3]  claimed (sorted set: id by the end of its lease, seconds)
-- KEYS[4]  owners (hash: id → owner)
-- KEYS[5]  attempts (hash: id → number)
-- KEYS[6]  texts (hash: id → text)
-- KEYS[7]  until (sorted set: id by when its text's time is over)
-- ARGV[1]  owner
-- ARGV[2]  most items to take
-- ARGV[3]  lease, seconds
--
-- Answer: {id, value, attempt, text, id, value, attempt, text, …}

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local limit = tonumber(ARGV[2])
local answer = {}

local function take(id)
  redis.call('ZADD', KEYS[3], now + ARGV[3], id)
  redis.call('HSET', KEYS[4], id, ARGV[1])
  answer[#answer + 1] = id
  answer[#answer + 1] = redis.call('HGET', KEYS[1], id)
  answer[#answer + 1] = redis.call('HINCRBY', KEYS[5], id, 1)
  local till = redis.call('ZSCORE', KEYS[7], id)
  answer[#answer + 1] = till and tonumber(till) > now and redis.call('HGET', KEYS[6], id) or ''
end

local lost = redis.call('ZRANGE', KEYS[3], '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
for _, id in ipairs(lost) do
  take(id)
end
if #lost < limit then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, limit - #lost - 1)) do
    redis.call('ZREM', KEYS[2], id)
    take(id)
  end
end
return answer
