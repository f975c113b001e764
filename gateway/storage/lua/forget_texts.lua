-- Delete some of the texts whose time is over.
--
-- KEYS[1]  texts (hash: id → text)
-- KEYS[2]  until (sorted set: id by when its text's time is over)
-- ARGV[1]  most to delete
--
-- Answer: how many there were.

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local old = redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])

for _, id in ipairs(old) do
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
return #old
