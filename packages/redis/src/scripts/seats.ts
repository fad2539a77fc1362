import { NOW, script } from './script.js'

// The groups of a room that have not met are three keys in one slot, and the first one ends with the size of a group: the
// names by the end of their seat, the place of each name (`node c group`; a NodeId has 8 characters, and `c` is `1` if the
// seat is confirmed), and the groups by how many seats are free.
const SEATS = `${NOW}
local places, groups = KEYS[1] .. ':places', KEYS[1] .. ':groups'
local size = tonumber(string.match(KEYS[1], '%d+$'))
local function groupOf(name)
  local place = redis.call('HGET', places, name)
  return place and string.sub(place, 12)
end
local function free(name)
  local group = groupOf(name)
  if not group then return end
  redis.call('HDEL', places, name)
  redis.call('ZREM', KEYS[1], name)
  if tonumber(redis.call('ZINCRBY', groups, 1, group)) >= size then redis.call('ZREM', groups, group) end
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, 1000)) do free(name) end
local function each(act)
  local all = redis.call('HGETALL', places)
  for i = 1, #all, 2 do act(all[i], all[i + 1]) end
end
local function sit(name, node, confirmed, group, ttl)
  local place = node .. ' ' .. confirmed .. ' ' .. group
  if redis.call('HSET', places, name, place) == 1 then
    redis.call('ZADD', groups, 'NX', size, group)
    redis.call('ZINCRBY', groups, -1, group)
  end
  redis.call('ZADD', KEYS[1], text(now + ttl + 1), name)
  local latest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
  redis.call('PEXPIREAT', KEYS[1], latest)
  redis.call('PEXPIREAT', places, latest)
  redis.call('PEXPIREAT', groups, latest)
end
`

/** KEYS: seats. ARGV: name, node, TTL, fresh, dead nodes. Answers the group. */
export const seatScript = script(`${SEATS}
if #ARGV > 4 then
  local dead = {}
  for i = 5, #ARGV do dead[ARGV[i]] = true end
  each(function(name, place) if dead[string.sub(place, 1, 8)] then free(name) end end)
end
local function fullest() return redis.call('ZRANGEBYSCORE', groups, 1, '+inf', 'LIMIT', 0, 1)[1] end
local group = groupOf(ARGV[1]) or fullest() or ARGV[4]
sit(ARGV[1], ARGV[2], '0', group, tonumber(ARGV[3]))
return { group }
`)

/** KEYS: seats. ARGV: name, node, TTL, group, what may be lost. Answers a SeatState. */
export const keepSeatScript = script(`${SEATS}
local known, group, loss = groupOf(ARGV[1]), ARGV[4], ARGV[5]
local function freeSeats() return tonumber(redis.call('ZSCORE', groups, group) or size) end
if not known and freeSeats() == 0 then return { 'taken' } end
local function isWrittenBack() return loss == 'group' or loss == 'seat' and freeSeats() < size end
if known and known ~= group or not known and not isWrittenBack() then return { 'gone' } end
sit(ARGV[1], ARGV[2], '1', group, tonumber(ARGV[3]))
if freeSeats() > 0 then return { 'waiting' } end
local members, confirmed = {}, 0
each(function(name, place)
  if string.sub(place, 12) ~= group then return end
  members[#members + 1] = name
  if string.sub(place, 10, 10) == '1' then confirmed = confirmed + 1 end
end)
if confirmed < size then return { 'waiting' } end
for _, name in ipairs(members) do free(name) end
return { 'met' }
`)

/** KEYS: seats. ARGV: name. */
export const unseatScript = script(`${SEATS}
free(ARGV[1])
return {}
`)
