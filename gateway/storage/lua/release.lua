-- Give a lease back; its token stays.
--
-- KEYS[1]  lease (hash; fields `owner`, `token`, `expires`)
-- ARGV[1]  owner
--
-- Answer: 1, or 0 if another holds it.

if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then
  return 0
end
redis.call('HDEL', KEYS[1], 'owner', 'expires')
return 1
