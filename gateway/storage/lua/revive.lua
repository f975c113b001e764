-- A dead letter is free again, as if it had just been enqueued.
--
-- KEYS[1]  dead (sorted set: id by the time it was buried)
-- KEYS[2]  reasons (hash: id → reason)
-- KEYS[3]  attempts (hash: id → number)
-- KEYS[4]  free (sorted set: id by sequence)
-- KEYS[5]  meta (hash; field `sequence`)
-- ARGV[1]  id
--
-- Answer: 1, or 0 if it is no dead letter.

if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[4], redis.call('HINCRBY', KEYS[5], 'sequence', 1), ARGV[1])
return 1
