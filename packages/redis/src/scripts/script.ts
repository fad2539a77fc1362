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

export function script(lua: string): Script {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') }
}
