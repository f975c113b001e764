-- The global revision and the server's clock.
--
-- KEYS[1]  meta (hash; fields `revision`, `leap_before`, `leap_after`, see commit.lua)
--
-- Answer: {revision, seconds, microseconds, leap_before, leap_after}

local meta = redis.call('HMGET', KEYS[1], 'revision', 'leap_before', 'leap_after')
local time = redis.call('TIME')
return {meta[1] or '0', time[1], time[2], meta[2] or '0', meta[3] or '0'}
