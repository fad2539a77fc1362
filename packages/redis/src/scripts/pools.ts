import { NOW, script } from './script.js'

// A pool is three keys in one slot: its members by the end of their membership, the place of each member (`node connection
// since`, and ` m` if it is marked), and the set of marked members.
const POOL = `${NOW}
local places, marked = KEYS[1] .. ':places', KEYS[1] .. ':marked'
local function remove(ids)
  redis.call('ZREM', KEYS[1], unpack(ids))
  redis.call('HDEL', places, unpack(ids))
  redis.call('SREM', marked, unpack(ids))
end
local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, 1000)
if #over > 0 then remove(over) end
local function isMarkedAt(place) return string.sub(place, -2) == ' m' end
local function put(id, known, place, ttl)
  redis.call('ZADD', KEYS[1], text(now + ttl + 1), id)
  local isMarked = isMarkedAt(place)
  -- A mark stays until the membership ends.
  if not isMarked and known and isMarkedAt(known) then place, isMarked = place .. ' m', true end
  if place == known then return isMarked end
  redis.call('HSET', places, id, place)
  if isMarked then redis.call('SADD', marked, id) end
  return isMarked
end
local function expire()
  local latest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
  if not latest then return end
  redis.call('PEXPIREAT', KEYS[1], latest)
  redis.call('PEXPIREAT', places, latest)
  redis.call('PEXPIREAT', marked, latest)
end
local function size()
  return text(redis.call('ZCOUNT', KEYS[1], '(' .. text(now), '+inf')), text(redis.call('SCARD', marked))
end
`

/**
 * KEYS: pool. ARGV: id, `node connection `, '' or ' m', TTL, how many to draw, most members. Answers nothing if the pool is
 * full. Otherwise one text with a line each: the number of members, of marked ones, the since of the member (and ` m` if it
 * is marked), its former place if it has moved, and for each drawn member its id and its place. One long text costs the
 * node less than many short ones.
 */
export const enterPoolScript = script(`${POOL}
local id, at, draw = ARGV[1], ARGV[2], tonumber(ARGV[5])
local known = redis.call('HGET', places, id)
if not known and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[6]) then return {} end
local since, former = text(now), ''
if known then
  local before = string.match(known, '^%S+ %S+ (%d+)')
  -- Whoever takes the id over is later, also in the same millisecond.
  if string.sub(known, 1, #at) == at then since = before
  else since, former = text(math.max(now, before + 1)), known end
end
local isMarked = put(id, known, at .. since .. ARGV[3], tonumber(ARGV[4]))
expire()
local answer = { size() }
answer[3], answer[4] = since .. (isMarked and ' m' or ''), former
local function lines() return { table.concat(answer, '\\n') } end
if draw == 0 then return lines() end
local some = redis.call('ZRANDMEMBER', KEYS[1], draw + 1, 'WITHSCORES')
local drawn = {}
for i = 1, #some, 2 do
  if some[i] ~= id and #drawn < draw and tonumber(some[i + 1]) > now then drawn[#drawn + 1] = some[i] end
end
if #drawn == 0 then return lines() end
for i, place in ipairs(redis.call('HMGET', places, unpack(drawn))) do
  answer[2 * i + 3] = drawn[i]
  answer[2 * i + 4] = place or ''
end
return lines()
`)

/** KEYS: pool. ARGV: id, `node connection `. Answers '1' if it was a member there, and the two numbers after that. */
export const leavePoolScript = script(`${POOL}
local known = redis.call('HGET', places, ARGV[1])
local isHere = known and string.sub(known, 1, #ARGV[2]) == ARGV[2]
if isHere then remove({ ARGV[1] }) end
return { isHere and '1' or '0', size() }
`)

/** KEYS: pool. ARGV: groups of id, place, since, TTL. */
export const keepPoolScript = script(`${POOL}
for i = 1, #ARGV, 4 do
  local known = redis.call('HGET', places, ARGV[i])
  local since = known and string.match(known, '^%S+ %S+ (%d+)')
  if not since or tonumber(since) <= tonumber(ARGV[i + 2]) then
    put(ARGV[i], known, ARGV[i + 1], tonumber(ARGV[i + 3]))
  end
end
expire()
return {}
`)

/** KEYS: pool. ARGV: id. Answers the place of the member, if there is one. */
export const findPoolScript = script(`${POOL}
return { redis.call('HGET', places, ARGV[1]) or nil }
`)

/** KEYS: pool. Answers the number of members, and of marked ones. */
export const sizePoolScript = script(`${POOL}
return { size() }
`)
