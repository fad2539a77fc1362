import type { Commands } from './connections/commands.js'
import { readVersion } from './connections/health.js'
import type { RedisNodes } from './nodes.js'
import type { RedisAddress } from './connections/url.js'

/** What `doctor` shows about Redis. */
export interface Inspection {
  version: string
  topology: RedisAddress['topology']
  /** Should be `noeviction`: otherwise Redis drops names when memory runs out. Undefined: an ACL hides it. */
  maxmemoryPolicy: string | undefined
  /** A round trip: the median of several. */
  latencyMs: number
  /** Redis's clock minus this machine's. */
  clockSkewMs: number
}

const SAMPLES = 5

export async function inspect(
  commands: Commands,
  topology: RedisAddress['topology'],
  nodes: RedisNodes,
): Promise<Inspection> {
  const info = await commands.run((client) => client.info())
  const latencies: number[] = []
  for (let i = 0; i < SAMPLES; i++) {
    const startedAt = performance.now()
    await commands.run((client) => client.ping())
    latencies.push(performance.now() - startedAt)
  }
  await nodes.refresh()
  return {
    version: readVersion(info),
    topology,
    maxmemoryPolicy: /^maxmemory_policy:(\S+)/mu.exec(info)?.[1],
    latencyMs: latencies.sort((a, b) => a - b)[Math.floor(SAMPLES / 2)] ?? 0,
    clockSkewMs: nodes.skewMs() ?? 0,
  }
}
