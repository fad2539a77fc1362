import { LISTED, script } from './script.js'

// The records of one kind of an app are three keys in one slot (script.ts: LISTED): their keys, the end of each record,
// and the value of each record: its end, a space, and its text. So a claim reads the records of a peer with one HMGET.

/** KEYS: records. ARGV: latest, key, text, TTL, most records. Answers 1 put, 0 full, or -1 if it is too late. */
export const putRecordScript = script(`${LISTED}
if late(ARGV[1]) then return -1 end
local values = KEYS[1] .. ':values'
sweep(values)
if redis.call('ZCOUNT', ends, '(' .. text(now), '+inf') >= tonumber(ARGV[5]) then
  if not redis.call('ZSCORE', ends, ARGV[2]) then return 0 end
end
local over = text(now + ARGV[4] + 1)
redis.call('ZADD', KEYS[1], 0, ARGV[2])
redis.call('ZADD', ends, over, ARGV[2])
redis.call('HSET', values, ARGV[2], over .. ' ' .. ARGV[3])
expire(values)
return 1
`)

/** KEYS: records. ARGV: latest, key. Answers 1 deleted, 0 there was none, or -1 if it is too late. */
export const deleteRecordScript = script(`${LISTED}
if late(ARGV[1]) then return -1 end
local values = KEYS[1] .. ':values'
sweep(values)
local there = redis.call('ZSCORE', ends, ARGV[2])
if not there then return 0 end
remove(values, { ARGV[2] })
return 1
`)

/** KEYS: records. ARGV: the key to begin after or '', most. Answers Redis's time, then pairs of key and value. */
export const pageRecordsScript = script(`${LISTED}
local values = KEYS[1] .. ':values'
sweep(values)
local found = after(ARGV[1], ARGV[2])
local answer = { text(now) }
if #found == 0 then return answer end
for i, value in ipairs(redis.call('HMGET', values, unpack(found))) do
  answer[2 * i] = found[i]
  answer[2 * i + 1] = value or ''
end
return answer
`)
