-- Add an item, unless its id is known: free, claimed, dead, or done not too long ago.
--
-- KEYS[1]  values (hash: id → value; free, claimed and dead items)
-- KEYS[2]  free (sorted set: id by sequence)
-- KEYS[3]  done (sorted set: id by the time it was done)
-- KEYS[4]  meta (hash; field `sequence`)
-- KEYS[5]  texts (hash: id → text)
-- KEYS[6]  until (sorted set: id by when its text's time is over)
-- ARGV[1]  id
-- ARGV[2]  value
-- ARGV[3]  text, may be empty
-- ARGV[4]  how long it may be kept, seconds
--
-- Answer: 1, or 0 if the id is known.

if redis.call('ZSCORE', KEYS[3], ARGV[1]) or redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then
  return 0
end
redis.call('ZADD', KEYS[2], redis.call('HINCRBY', KEYS[4], 'sequence', 1), ARGV[1])
if ARGV[3] ~= '' then
  local time = redis.call('TIME')
  redis.call('HSET', KEYS[5], ARGV[1], ARGV[3])
  redis.call('ZADD', KEYS[6], time[1] + time[2] / 1000000 + ARGV[4], ARGV[1])
end
return 1
