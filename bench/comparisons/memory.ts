import type { Comparison, Contender, Metrics } from '../lib/comparison.js'
import { cpuBetween, readCpu, sum } from '../lib/cpu.js'
import type { BenchProcess } from '../lib/processes.js'
import { startLoad, startStack, type StackName } from '../stacks.js'

const PEERS = 10_000
const QUICK_PEERS = 500
/** These peers connect and leave before the first reading, so that compiled code and pools do not count as peers' memory. */
const WARM_PEERS = 500
const CONCURRENCY = 50
const OPEN_DEADLINE_MS = 180_000
/** By then the timers and sockets of the connecting phase are gone. */
const SETTLE_MS = 3000
/** One whole cycle of renewals. */
const IDLE_MS = 30_000
const MINUTE_MS = 60_000

const settle = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** With Redis, it also measures the memory of the keys, and the commands that idle peers cause. */
function contender(name: string, stackName: StackName): Contender {
  return {
    name,
    start: async ({ quick }) => {
      const peers = quick ? QUICK_PEERS : PEERS
      const stack = await startStack(stackName, 1)
      const load = await startLoad()
      const node = stack.nodes[0]
      if (node === undefined) throw new Error('no node')
      const open = (group: string, count: number): Promise<Metrics> => {
        const options = { wire: stack.wire, prefix: group, first: 0, count, ports: stack.ports }
        return load.ask('load', 'open', { group, concurrency: CONCURRENCY, ...options }, OPEN_DEADLINE_MS)
      }
      const measure = async (): Promise<Metrics> => {
        await open('warm', WARM_PEERS)
        await load.ask('load', 'close', { group: 'warm' })
        await settle(SETTLE_MS)
        const before = await node.hook('memory')
        const keysBefore = await stack.redis?.usedBytes()
        await open('peer', peers)
        await settle(SETTLE_MS)
        const after = await node.hook('memory')
        const idle = await idleCpu(stack.nodes, quick)
        const each = (metric: string): number =>
          ((after[metric] ?? Number.NaN) - (before[metric] ?? Number.NaN)) / peers
        const redis =
          stack.redis === undefined
            ? {}
            : {
                redisBytes: ((await stack.redis.usedBytes()) - (keysBefore ?? Number.NaN)) / peers,
                ...(await idleCalls(stack.redis, peers, quick)),
              }
        return {
          rss: each('rss'),
          heap: each('heapUsed'),
          external: each('external'),
          idleUs: idle / peers,
          ...redis,
        }
      }
      return {
        measure,
        stop: async () => {
          await load.stop()
          await stack.stop()
        },
      }
    },
  }
}

/** CPU of the node per second, in microseconds, for pings and renewals of leases. */
async function idleCpu(nodes: readonly BenchProcess[], quick: boolean): Promise<number> {
  const ms = quick ? SETTLE_MS : IDLE_MS
  const before = await readCpu(nodes, undefined)
  await settle(ms)
  return (sum(cpuBetween(before, await readCpu(nodes, undefined)).nodes) * 1000) / ms
}

/** Commands that only scripts call. They count in commandstats, but they are no operations of their own. */
const WITHIN_SCRIPTS = new Set([
  'get',
  'set',
  'del',
  'pexpire',
  'time',
  'zadd',
  'zrange',
  'zscore',
  'zrank',
  'zrangebyscore',
  'zremrangebyscore',
])

async function idleCalls(
  redis: { calls(): Promise<Readonly<Record<string, number>>> },
  peers: number,
  quick: boolean,
): Promise<Metrics> {
  const before = await redis.calls()
  const ms = quick ? SETTLE_MS : IDLE_MS
  await settle(ms)
  const after = await redis.calls()
  const grown = (commands: string[]): number =>
    commands.reduce((total, command) => total + (after[command] ?? 0) - (before[command] ?? 0), 0)
  const perPeerMinute = MINUTE_MS / ms / peers
  const commands = Object.keys(after)
  return {
    redisOperations: grown(commands.filter((command) => !WITHIN_SCRIPTS.has(command))) * perPeerMinute,
    redisCalls: grown(commands) * perPeerMinute,
  }
}

const NATIVE = 'peerage'
const PEERJS = 'peerage as PeerJS'

export const memory: readonly Comparison[] = [
  {
    id: 'memory',
    title: 'Memory of an idle peer',
    load:
      `${PEERS} idle peers on one node; difference between after and before, each after full collections; ` +
      `${WARM_PEERS} peers connected and left before. peerage's native peers are registered in Redis, its PeerJS ` +
      `peers in memory, as peer's are; the limits on connections are raised`,
    processes: 'fresh',
    rounds: 3,
    contenders: [
      contender(NATIVE, 'peerage, connects not limited'),
      contender('socket.io', 'socket.io'),
      contender('socket.io, request dropped', 'socket.io, request dropped'),
      contender(PEERJS, 'peerage as PeerJS, one node in memory'),
      contender('peer', 'peer'),
    ],
    rows: [
      {
        measure: 'heap of an idle native peer',
        metric: 'heap',
        unit: 'B',
        subject: NATIVE,
        against: 'socket.io',
        aim: { of: 'ratio', most: 0.6 },
      },
      {
        measure: 'RSS of an idle native peer',
        metric: 'rss',
        unit: 'B',
        subject: NATIVE,
        against: 'socket.io',
        aim: { of: 'ratio', most: 0.6 },
      },
      {
        measure: 'heap of an idle native peer',
        metric: 'heap',
        unit: 'B',
        subject: NATIVE,
        against: 'socket.io, request dropped',
      },
      {
        measure: 'RSS of an idle native peer',
        metric: 'rss',
        unit: 'B',
        subject: NATIVE,
        against: 'socket.io, request dropped',
      },
      {
        measure: 'heap of an idle PeerJS peer',
        metric: 'heap',
        unit: 'B',
        subject: PEERJS,
        against: 'peer',
        aim: { of: 'ratio', most: 1 },
      },
      {
        measure: 'RSS of an idle PeerJS peer',
        metric: 'rss',
        unit: 'B',
        subject: PEERJS,
        against: 'peer',
        aim: { of: 'ratio', most: 1 },
      },
      {
        measure: 'Redis memory per registered peer',
        metric: 'redisBytes',
        unit: 'B',
        subject: NATIVE,
        aim: { of: 'value', most: 230 },
      },
      {
        measure: 'Redis operations per idle peer and minute',
        metric: 'redisOperations',
        unit: '',
        subject: NATIVE,
        aim: { of: 'value', most: 3 },
      },
      {
        measure: 'the same, with what scripts call',
        metric: 'redisCalls',
        unit: '',
        subject: NATIVE,
      },
    ],
  },
]
