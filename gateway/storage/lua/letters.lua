-- The dead letters of a queue, newest first.
--
-- KEYS[1]  dead (sorted set: id by the time it was buried, seconds)
-- KEYS[2]  reasons (hash: id → reason)
-- KEYS[3]  attempts (hash: id → number)
-- ARGV[1]  most items
--
-- Answer: {id, time, reason, attempts, id, …}

local answer = {}
local found = redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1, 'REV', 'WITHSCORES')
for i = 1, #found, 2 do
  answer[#answer + 1] = found[i]
  answer[#answer + 1] = found[i + 1]
  answer[#answer + 1] = redis.call('HGET', KEYS[2], found[i]) or ''
  answer[#answer + 1] = redis.call('HGET', KEYS[3], found[i]) or '0'
end
return answer
