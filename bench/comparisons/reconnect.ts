import type { Comparison, Contender, Metrics } from '../lib/comparison.js'
import { portOf, startLoad, startStack, type StackName } from '../stacks.js'

const PEERS = 10_000
const QUICK_PEERS = 500
const CONCURRENCY = 50
/** The pace of the first connects, below the 2,000 a second that a node accepts. */
const OPEN_PER_SECOND = 1_500
const OPEN_DEADLINE_MS = 180_000
/** The SDK's backoff: full jitter, at first up to one second, then doubled up to 15 s. The same for both stacks. */
const FIRST_MS = 1000
const CAP_MS = 15_000
const BACK_DEADLINE_MS = 120_000
const NODES = 2

function contender(name: StackName): Contender {
  return {
    name,
    start: async ({ quick }) => {
      const count = quick ? QUICK_PEERS : PEERS
      const stack = await startStack(name, NODES)
      const load = await startLoad()
      const [doomed, survivor] = stack.nodes
      if (doomed === undefined || survivor === undefined) throw new Error('two nodes are needed')
      const measure = async (): Promise<Metrics> => {
        const group = 'peer'
        const options = { wire: stack.wire, prefix: group, first: 0, count, ports: [portOf(doomed)] }
        const pace = { concurrency: CONCURRENCY, perSecond: OPEN_PER_SECOND }
        await load.ask('load', 'open', { group, ...pace, ...options }, OPEN_DEADLINE_MS)
        await load.ask('load', 'arm', {
          group,
          ports: [portOf(survivor)],
          firstMs: FIRST_MS,
          capMs: CAP_MS,
          deadlineMs: BACK_DEADLINE_MS,
        })
        await survivor.hook('lag-start')
        await doomed.stop()
        const back = await load.ask('load', 'back', { group }, BACK_DEADLINE_MS + 10_000)
        const lag = await survivor.hook('lag')
        return {
          lastMs: back['lastMs'] ?? Number.NaN,
          p50Ms: back['p50Ms'] ?? Number.NaN,
          attempts: (back['attempts'] ?? Number.NaN) / count,
          lagP99Ms: lag['p99'] ?? Number.NaN,
          lagMaxMs: lag['max'] ?? Number.NaN,
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

export const reconnect: readonly Comparison[] = [
  {
    id: 'reconnect',
    title: 'Reconnect after a node is killed',
    load:
      `${PEERS} peers on one node, which is killed; each reconnects to the surviving node under its name, after a ` +
      `delay with full jitter: 0–${FIRST_MS} ms at first, then doubled up to ${CAP_MS} ms, the same for both`,
    processes: 'fresh',
    rounds: 3,
    contenders: [contender('peerage'), contender('socket.io, classic adapter')],
    rows: [
      {
        measure: `time until the last of ${PEERS} peers is back`,
        metric: 'lastMs',
        unit: 'ms',
        subject: 'peerage',
        against: 'socket.io, classic adapter',
        aim: { of: 'ratio', most: 1 },
      },
      {
        measure: 'loop lag p99 of the survivor meanwhile',
        metric: 'lagP99Ms',
        unit: 'ms',
        subject: 'peerage',
        aim: { of: 'value', most: 200 },
      },
      {
        measure: 'loop lag p99 of the survivor meanwhile',
        metric: 'lagP99Ms',
        unit: 'ms',
        subject: 'peerage',
        against: 'socket.io, classic adapter',
      },
    ],
  },
]
