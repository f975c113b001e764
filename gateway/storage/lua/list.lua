-- Documents between two keys, in order of key.
--
-- KEYS[1]  documents (hash: key → value)
-- KEYS[2]  feed (sorted set: key by revision)
-- KEYS[3]  index (sorted set, all scores 0: its order is that of the keys' bytes)
-- ARGV[1]  lower bound, as ZRANGE BYLEX takes it
-- ARGV[2]  upper bound, as ZRANGE BYLEX takes it
-- ARGV[3]  most documents to answer with
--
-- Answer: {key, revision, value, key, revision, value, …}

local answer = {}
for _, key in ipairs(redis.call('ZRANGE', KEYS[3], ARGV[1], ARGV[2], 'BYLEX', 'LIMIT', 0, ARGV[3])) do
  answer[#answer + 1] = key
  answer[#answer + 1] = redis.call('ZSCORE', KEYS[2], key)
  answer[#answer + 1] = redis.call('HGET', KEYS[1], key)
end
return answer
