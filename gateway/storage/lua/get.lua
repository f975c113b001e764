-- Read one document and its revision, of the same moment.
--
-- KEYS[1]  documents (hash: key → value)
-- KEYS[2]  feed (sorted set: key by revision)
-- ARGV[1]  the document's key
--
-- Answer: {revision, value}, or nil if there is none.

local value = redis.call('HGET', KEYS[1], ARGV[1])
if not value then
  return nil
end
return {redis.call('ZSCORE', KEYS[2], ARGV[1]), value}
