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
local names, texts, overs = {}, {}, {}
local at = 2
while at < #ARGV do
  local over = text(now + ARGV[at] + 1)
  local last = at + 1 + 2 * ARGV[at + 1]
  for i = at + 2, last, 2 do
    local n = #names + 1
    names[n], texts[n], overs[n] = ARGV[i], ARGV[i + 1], over
  end
  at = last + 1
end
local puts, drops, places, theirEnds = {}, {}, {}, {}
local held = redis.call('HMGET', values, unpack(names))
for n, name in ipairs(names) do
  local place, known = texts[n], held[n]
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
    local m = #puts
    puts[m + 1], puts[m + 2] = 0, name
    theirEnds[m + 1], theirEnds[m + 2] = overs[n], name
    places[m + 1], places[m + 2] = name, place
  end
end
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
