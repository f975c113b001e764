-- Add an item, unless its id is known: free, claimed, dead, or done not too long ago.
--
-- KEYS[1]  values (hash: id → value; free, claimed and dead items)
-- KEYS[2]  free (sorted set: id by sequence)
-- KEYS[3]  done (sorted set: id by the time it was done)
-- KEYS[4]  meta (hash; field `sequence`)
-- ARGV[1]  id
-- ARGV[2]  value
--
-- Answer: 1, or 0 if the id is known.

if redis.call('ZSCORE', KEYS[3], ARGV[1]) or redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then
  return 0
end
redis.call('ZADD', KEYS[2], redis.call('HINCRBY', KEYS[4], 'sequence', 1), ARGV[1])
return 1
