import { NOW, script } from './script.js'

// A room is three keys in one slot: its members by name (`name LF since`; no name contains an LF), the end of each
// membership, and the place of each member (`node state`).
const ROOM = `${NOW}
local ends = KEYS[1] .. ':ends'
local places = KEYS[1] .. ':places'
local over = redis.call('ZRANGEBYSCORE', ends, '-inf', text(now), 'LIMIT', 0, 1000)
if #over > 0 then
  redis.call('ZREM', ends, unpack(over))
  redis.call('ZREM', KEYS[1], unpack(over))
  redis.call('HDEL', places, unpack(over))
end
local function put(member, place, ttl)
  redis.call('ZADD', ends, text(now + ttl + 1), member)
  redis.call('ZADD', KEYS[1], 0, member)
  redis.call('HSET', places, member, place)
end
local function last()
  local latest = redis.call('ZRANGE', ends, -1, -1, 'WITHSCORES')[2]
  if not latest then return end
  redis.call('PEXPIREAT', ends, latest)
  redis.call('PEXPIREAT', places, latest)
  redis.call('PEXPIREAT', KEYS[1], latest)
end
`

/** KEYS: members. ARGV: member, place, TTL, most members. Answers 1 joined, 0 known, -1 full. */
export const joinRoomScript = script(`${ROOM}
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not known and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then return -1 end
put(ARGV[1], ARGV[2], tonumber(ARGV[3]))
last()
return known and 0 or 1
`)

/** KEYS: members. ARGV: member. Answers whether it was a member. */
export const partRoomScript = script(`${ROOM}
redis.call('ZREM', ends, ARGV[1])
redis.call('HDEL', places, ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
`)

/** KEYS: members. ARGV: TTL, then pairs of member and place. */
export const keepRoomScript = script(`${ROOM}
for i = 2, #ARGV, 2 do put(ARGV[i], ARGV[i + 1], tonumber(ARGV[1])) end
last()
return 1
`)

/** KEYS: members. ARGV: member, node, TTL. Answers whether it was a member, and on that node. */
export const awayRoomScript = script(`${ROOM}
local place = redis.call('HGET', places, ARGV[1])
if not place or string.sub(place, 1, -3) ~= ARGV[2] then return 0 end
put(ARGV[1], ARGV[2] .. ' a', tonumber(ARGV[3]))
last()
return 1
`)

/** KEYS: members. ARGV: the name to begin after or '', most. Answers pairs of member and place. */
export const listRoomScript = script(`${ROOM}
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1] .. '\\n\\255'
local answer = {}
for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], from, '+', 'LIMIT', 0, ARGV[2])) do
  table.insert(answer, member)
  table.insert(answer, redis.call('HGET', places, member) or '')
end
return answer
`)

/** KEYS: members. ARGV: members. Answers the milliseconds until each membership ends, as texts. '0': no member. */
export const endsInRoomScript = script(`${ROOM}
local answer = {}
for i, member in ipairs(ARGV) do
  local over = redis.call('ZSCORE', ends, member)
  answer[i] = text(over and math.max(0, over - now) or 0)
end
return answer
`)
