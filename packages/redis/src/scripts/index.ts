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
 * KEYS: names. ARGV: latest, then for each change: name, the greatest epoch that it may replace, TTL, and the place. To
 * remove an entry: name, the greatest and the least epoch that it may have, ''. Answers 1, or 0 if it is too late.
 */
export const writeIndexScript = script(`${LISTED}${EPOCH}
if late(ARGV[1]) then return 0 end
local values = KEYS[1] .. ':places'
sweep(values)
local names, puts, drops, places, theirEnds = {}, {}, {}, {}, {}
for i = 2, #ARGV, 4 do names[#names + 1] = ARGV[i] end
local held = redis.call('HMGET', values, unpack(names))
for n, name in ipairs(names) do
  local at = 4 * n - 2
  local place = ARGV[at + 3]
  if not held[n] or held[n] == place or epochOf(held[n]) <= tonumber(ARGV[at + 1]) then
    if place == '' then
      if held[n] and epochOf(held[n]) >= tonumber(ARGV[at + 2]) then drops[#drops + 1] = name end
    else
      puts[#puts + 1] = 0
      puts[#puts + 1] = name
      theirEnds[#theirEnds + 1] = text(now + ARGV[at + 2] + 1)
      theirEnds[#theirEnds + 1] = name
      places[#places + 1] = name
      places[#places + 1] = place
    end
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
