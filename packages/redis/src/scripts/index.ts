import { LISTED, script } from './script.js'

// A partition of an app's index is three keys in one slot (script.ts: LISTED): its names, the end of each entry, and the
// place of each name: its node, `o` or `a`, its `since`, and a colon and `epoch - since` if these two differ.

const EPOCH = `
local function epochOf(place)
  local since, later = string.match(place, '^........[oa](%w+):?(%w*)')
  if not since then return 0 end
  return tonumber(since, 36) + (later == '' and 0 or tonumber(later, 36))
end
`

/**
 * KEYS: names. ARGV: latest, then groups of changes: a TTL, how many changes, and for each change its name and a text:
 * - the place, to write an entry over one whose epoch is not greater;
 * - two spaces, an epoch, a space and the place, to write it over one up to that epoch;
 * - a space, the least epoch, a space and the greatest epoch, to remove an entry between these two.
 *
 * Answers 1, or 0 if it is too late.
 */
export const writeIndexScript = script(`${LISTED}${EPOCH}
if late(ARGV[1]) then return 0 end
local values = KEYS[1] .. ':places'
sweep(values)
local function each(act)
  local at = 2
  while at < #ARGV do
    local ttl, last = ARGV[at], at + 1 + 2 * ARGV[at + 1]
    act(ttl, at + 2, last)
    at = last + 1
  end
end
local names, count = {}, 0
each(function(_, first, last)
  for i = first, last, 2 do
    count = count + 1
    names[count] = ARGV[i]
  end
end)
local held = redis.call('HMGET', values, unpack(names))
local puts, drops, places, theirEnds, n, m = {}, {}, {}, {}, 0, 0
each(function(ttl, first, last)
  local over = text(now + ttl + 1)
  for i = first, last, 2 do
    n = n + 1
    local name, place, known = ARGV[i], ARGV[i + 1], held[n]
    local least, most
    if string.byte(place) == 32 then
      least, most, place = string.match(place, '^ (%d*) (%d+) ?(.*)$')
      most = tonumber(most)
    end
    if known and known ~= place then
      local epoch = epochOf(known)
      if epoch > (most or epochOf(place)) or epoch < (tonumber(least) or 0) then place = nil end
    end
    if place == '' then
      if known then drops[#drops + 1] = name end
    elseif place then
      puts[m + 1], puts[m + 2] = 0, name
      theirEnds[m + 1], theirEnds[m + 2] = over, name
      places[m + 1], places[m + 2] = name, place
      m = m + 2
    end
  end
end)
if #puts > 0 then
  redis.call('ZADD', KEYS[1], unpack(puts))
  redis.call('ZADD', ends, unpack(theirEnds))
  redis.call('HSET', values, unpack(places))
end
if #drops > 0 then remove(values, drops) end
expire(values)
return 1
`)

/**
 * KEYS: names. ARGV: the name to begin after or '', most. Answers pairs of name and place. The place is '' if the entry
 * has ended.
 */
export const pageIndexScript = script(`${LISTED}
local values = KEYS[1] .. ':places'
sweep(values)
local found = after(ARGV[1], ARGV[2])
if #found == 0 then return found end
local over = redis.call('ZMSCORE', ends, unpack(found))
local places = redis.call('HMGET', values, unpack(found))
local answer = {}
for i, name in ipairs(found) do
  answer[2 * i - 1] = name
  answer[2 * i] = over[i] and tonumber(over[i]) > now and places[i] or ''
end
return answer
`)

/** KEYS: names. Answers how many entries have not ended. */
export const countIndexScript = script(`${LISTED}
return redis.call('ZCOUNT', ends, '(' .. text(now), '+inf')
`)
