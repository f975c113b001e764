-- Move a claimed item to the dead letters, where it is kept for a time.
--
-- KEYS[1]  values (hash: id → value)
-- KEYS[2]  claimed (sorted set: id by the end of its lease)
-- KEYS[3]  owners (hash: id → owner)
-- KEYS[4]  attempts (hash: id → number)
-- KEYS[5]  dead (sorted set: id by the time it was buried)
-- KEYS[6]  reasons (hash: id → reason)
-- ARGV[1]  id
-- ARGV[2]  owner
-- ARGV[3]  how long dead letters are kept, seconds
-- ARGV[4]  reason
--
-- Answer: 1, or 0 if the item is not claimed by this owner.

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

for _, old in ipairs(redis.call('ZRANGE', KEYS[5], '-inf', now - ARGV[3], 'BYSCORE', 'LIMIT', 0, 10)) do
  redis.call('ZREM', KEYS[5], old)
  for _, fields in ipairs({KEYS[1], KEYS[4], KEYS[6]}) do
    redis.call('HDEL', fields, old)
  end
end
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[5], now, ARGV[1])
redis.call('HSET', KEYS[6], ARGV[1], ARGV[4])
return 1
