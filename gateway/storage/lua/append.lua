-- Add records to the end of a log.
--
-- KEYS[1]  log (stream; the id of the record at position n is n-0)
-- KEYS[2]  positions (hash: log → last position given; outlives trimming, so that none is given twice)
-- ARGV[1]  the log's name
-- ARGV[2…] records
--
-- Answer: the position of the last record.

local last = redis.call('HINCRBY', KEYS[2], ARGV[1], #ARGV - 1)
local first = last - (#ARGV - 1)
for i = 2, #ARGV do
  redis.call('XADD', KEYS[1], string.format('%.0f-0', first + i - 1), '', ARGV[i])
end
return last
