import type { Comparison, Contender, Metrics, Row } from '../lib/comparison.js'
import { cpuBetween, readCpu, sum } from '../lib/cpu.js'
import { startLoad, startStack, type StackName } from '../stacks.js'

const PEERS = 4000
const QUICK_PEERS = 300
/** Enough at the same time that the server always has work, and few enough that nothing times out. */
const CONCURRENCY = 64
const WARM_PEERS = 1000
const DEADLINE_MS = 120_000
const SETTLE_MS = 3000

function contender(name: string, stackName: StackName): Contender {
  return {
    name,
    start: async ({ quick }) => {
      const peers = quick ? QUICK_PEERS : PEERS
      const stack = await startStack(stackName, 1)
      const load = await startLoad()
      let turn = 0
      const connectAll = async (count: number): Promise<Metrics> => {
        const group = `g${turn++}-`
        const { wire, ports, token } = stack
        const options = { wire, prefix: group, first: 0, count, ports, token }
        const before = await readCpu(stack.nodes, stack.redis)
        const opened = await load.ask(
          'load',
          'open',
          { group, concurrency: CONCURRENCY, ...options },
          DEADLINE_MS,
        )
        const used = cpuBetween(before, await readCpu(stack.nodes, stack.redis))
        await load.ask('load', 'close', { group })
        await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
        return {
          perSecond: opened['perSecond'] ?? Number.NaN,
          cpuUs: (sum(used.nodes) + used.redis) / count,
          redisUs: used.redis / count,
        }
      }
      await connectAll(Math.min(WARM_PEERS, peers))
      return {
        measure: () => connectAll(peers),
        stop: async () => {
          await load.stop()
          await stack.stop()
        },
      }
    },
  }
}

/** Connects with access by token. `against` is the same node when it is open. */
const withToken = (alg: 'HS256' | 'ES256'): Row => ({
  measure: `connects per second, with ${alg} tokens`,
  metric: 'perSecond',
  unit: '/s',
  subject: `peerage, ${alg} tokens`,
  against: 'peerage, open',
  aim: { of: 'ratio', least: 0.8 },
})

export const connects: readonly Comparison[] = [
  {
    id: 'connects',
    title: 'Connects per second',
    load:
      `${PEERS} peers, ${CONCURRENCY} connects at the same time, one node; peerage claims a name in Redis for each ` +
      `(until the welcome; its limit on new connections a second is raised), stock socket.io has no registry (until the ` +
      `namespace is connected)`,
    processes: 'kept',
    rounds: 5,
    contenders: [contender('peerage', 'peerage, connects not limited'), contender('socket.io', 'socket.io')],
    rows: [
      {
        measure: 'connects per second, with claim',
        metric: 'perSecond',
        unit: '/s',
        subject: 'peerage',
        against: 'socket.io',
        aim: { of: 'ratio', least: 0.9 },
      },
      {
        measure: 'CPU per connect, with claim',
        metric: 'cpuUs',
        unit: 'µs',
        subject: 'peerage',
        against: 'socket.io',
      },
    ],
  },
  {
    id: 'connects-token',
    title: 'Connects per second with access tokens',
    load:
      `${PEERS} peers, ${CONCURRENCY} connects at the same time, one node with Redis; every peer shows the same token, ` +
      `which the node verifies each time; against the same node without access rules`,
    processes: 'kept',
    rounds: 5,
    contenders: [
      contender('peerage, open', 'peerage, connects not limited'),
      contender('peerage, HS256 tokens', 'peerage, HS256 tokens'),
      contender('peerage, ES256 tokens', 'peerage, ES256 tokens'),
    ],
    rows: [withToken('HS256'), withToken('ES256')],
  },
  {
    id: 'connects-api',
    title: 'Connects per second of an app that has the API',
    load:
      `${PEERS} peers, ${CONCURRENCY} connects at the same time, one node with Redis; with the API, each claim is checked ` +
      `for bans and written into the index of its app; against the same node without the API`,
    processes: 'kept',
    rounds: 5,
    contenders: [
      contender('peerage, open', 'peerage, connects not limited'),
      contender('peerage, with the API', 'peerage, with the API'),
    ],
    rows: [
      {
        measure: 'connects per second, with the API and its index',
        metric: 'perSecond',
        unit: '/s',
        subject: 'peerage, with the API',
        against: 'peerage, open',
        aim: { of: 'ratio', least: 0.9 },
      },
      {
        measure: 'CPU per connect, with the API and its index',
        metric: 'cpuUs',
        unit: 'µs',
        subject: 'peerage, with the API',
        against: 'peerage, open',
      },
    ],
  },
]
