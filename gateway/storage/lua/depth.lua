-- How many items of a queue are free, claimed and dead.
--
-- KEYS[1]  free (sorted set: id by sequence)
-- KEYS[2]  claimed (sorted set: id by the end of its lease, seconds)
-- KEYS[3]  dead (sorted set: id by the time it was buried)
--
-- Answer: {free, claimed, dead}; an item whose lease has run out is free.

local time = redis.call('TIME')
local lost = redis.call('ZCOUNT', KEYS[2], '-inf', time[1] + time[2] / 1000000)
return {
  redis.call('ZCARD', KEYS[1]) + lost,
  redis.call('ZCARD', KEYS[2]) - lost,
  redis.call('ZCARD', KEYS[3]),
}
