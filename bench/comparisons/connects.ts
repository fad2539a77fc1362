import type { Comparison, Contender, Metrics } from '../lib/comparison.js'
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
        const options = { wire: stack.wire, prefix: group, first: 0, count, ports: stack.ports }
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
]
