import { createHash } from 'node:crypto'

/** A Lua script, and the SHA-1 under which Redis caches it. */
export interface Script {
  readonly lua: string
  readonly sha: string
}

/** Redis's clock, in whole milliseconds. */
export const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(n) return string.format('%.0f', n) end
`

// A frozen server may run a command late. The command must not act after its caller has given up.
export const IN_TIME = `
local function late(latest) return tonumber(latest) > 0 and now > tonumber(latest) end
`

/**
 * A list whose members end by themselves: three keys in one slot. KEYS[1] is a sorted set of the members, all with the
 * score 0, so that they are in the order of their bytes. `…:ends` is a sorted set with the end of each member, and a hash
 * with a third name, which the caller gives, has the value of each member. Lua's stack limits how many members one
 * command takes.
 */
export const LISTED = `${NOW}${IN_TIME}
local ends = KEYS[1] .. ':ends'
local function remove(values, members)
  redis.call('ZREM', KEYS[1], unpack(members))
  redis.call('ZREM', ends, unpack(members))
  redis.call('HDEL', values, unpack(members))
end
local function sweep(values)
  local over = redis.call('ZRANGEBYSCORE', ends, '-inf', text(now), 'LIMIT', 0, 1000)
  if #over > 0 then remove(values, over) end
end
local function expire(values)
  local latest = redis.call('ZRANGE', ends, -1, -1, 'WITHSCORES')[2]
  if not latest then return end
  redis.call('PEXPIREAT', KEYS[1], latest)
  redis.call('PEXPIREAT', ends, latest)
  redis.call('PEXPIREAT', values, latest)
end
local function after(member, most)
  return redis.call('ZRANGEBYLEX', KEYS[1], member == '' and '-' or '(' .. member, '+', 'LIMIT', 0, most)
end
`

export function script(lua: string): Script {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') }
}
