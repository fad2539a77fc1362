import { NOW, script } from './script.js'

// The groups of a room that wait for members are three keys in one slot: the names by the end of their seat, the place of
// each name (`node group`; a NodeId has 8 characters), and the groups by how many seats are taken.
const SEATS = `${NOW}
local places, groups = KEYS[1] .. ':places', KEYS[1] .. ':groups'
local function free(name)
  local place = redis.call('HGET', places, name)
  if not place then return end
  redis.call('HDEL', places, name)
  redis.call('ZREM', KEYS[1], name)
  local group = string.sub(place, 10)
  if tonumber(redis.call('ZINCRBY', groups, -1, group)) <= 0 then redis.call('ZREM', groups, group) end
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, 1000)) do free(name) end
local function each(act)
  local all = redis.call('HGETALL', places)
  for i = 1, #all, 2 do act(all[i], string.sub(all[i + 1], 1, 8), string.sub(all[i + 1], 10)) end
end
local function expire()
  local latest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
  if not latest then return end
  redis.call('PEXPIREAT', KEYS[1], latest)
  redis.call('PEXPIREAT', places, latest)
  redis.call('PEXPIREAT', groups, latest)
end
local function sit(name, node, group, seats, ttl)
  local isNew = redis.call('HSET', places, name, node .. ' ' .. group) == 1
  redis.call('ZADD', KEYS[1], text(now + ttl + 1), name)
  if isNew and tonumber(redis.call('ZINCRBY', groups, 1, group)) >= seats then
    each(function(other, _, its) if its == group then free(other) end end)
    return true
  end
  expire()
  return false
end
local function groupOf(name)
  local place = redis.call('HGET', places, name)
  return place and string.sub(place, 10)
end
`

/** KEYS: seats. ARGV: name, node, seats, TTL, fresh, dead nodes. Answers the group, and '1' if it is full. */
export const seatScript = script(`${SEATS}
if #ARGV > 5 then
  local dead = {}
  for i = 6, #ARGV do dead[ARGV[i]] = true end
  each(function(name, node) if dead[node] then free(name) end end)
end
local group = groupOf(ARGV[1]) or redis.call('ZRANGE', groups, -1, -1)[1] or ARGV[5]
return { group, sit(ARGV[1], ARGV[2], group, tonumber(ARGV[3]), tonumber(ARGV[4])) and '1' or '0' }
`)

/** KEYS: seats. ARGV: name, node, seats, TTL, group, '1' if it may be lost. Answers '1' if it waits. */
export const keepSeatScript = script(`${SEATS}
local known = groupOf(ARGV[1])
if known and known ~= ARGV[5] or not known and ARGV[6] ~= '1' then return { '0' } end
return { sit(ARGV[1], ARGV[2], ARGV[5], tonumber(ARGV[3]), tonumber(ARGV[4])) and '0' or '1' }
`)

/** KEYS: seats. ARGV: name. */
export const unseatScript = script(`${SEATS}
free(ARGV[1])
return {}
`)
