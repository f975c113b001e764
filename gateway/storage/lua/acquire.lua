-- Take a lease that is free or has run out, or renew one's own.
--
-- KEYS[1]  lease (hash; fields `owner`, `token`, `expires` in seconds). It never expires as a key: tokens
--          must go on rising.
-- ARGV[1]  owner
-- ARGV[2]  time to live, seconds
--
-- Answer: {token, expires}, or nil if another holds it.

local lease = redis.call('HMGET', KEYS[1], 'owner', 'token', 'expires')
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

if lease[1] and lease[1] ~= ARGV[1] and tonumber(lease[3]) > now then
  return nil
end
local token = lease[2]
if lease[1] ~= ARGV[1] then
  token = redis.call('HINCRBY', KEYS[1], 'token', 1)
end
local expires = string.format('%.6f', now + ARGV[2])
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'expires', expires)
return {token, expires}
