import type { Comparison, Contender, Metrics } from '../lib/comparison.js'
import { cpuBetween, readCpu, sum } from '../lib/cpu.js'
import { BODY_BYTES } from '../pairs.js'
import { startLoad, startStack, type StackName } from '../stacks.js'

const MEMBERS = 1000
const QUICK_MEMBERS = 100
const TIMES = 100
const NODES = 2
const CONCURRENCY = 20
const DEADLINE_MS = 120_000

function contender(name: StackName): Contender {
  return {
    name,
    start: async ({ quick }) => {
      const count = quick ? QUICK_MEMBERS : MEMBERS
      const stack = await startStack(name, NODES)
      const load = await startLoad()
      const stop = async (): Promise<void> => {
        await load.stop()
        await stack.stop()
      }
      const group = 'member'
      const measure = async (): Promise<Metrics> => {
        const before = await readCpu(stack.nodes, stack.redis)
        const options = { group, room: 'stadium', times: TIMES, bodyBytes: BODY_BYTES }
        const result = await load.ask('load', 'broadcast', options, DEADLINE_MS)
        const used = cpuBetween(before, await readCpu(stack.nodes, stack.redis))
        return {
          lastMs: result['last'] ?? Number.NaN,
          maxMs: result['max'] ?? Number.NaN,
          cpuUs: (sum(used.nodes) + used.redis) / (result['received'] ?? Number.NaN),
        }
      }
      try {
        const peers = { wire: stack.wire, prefix: group, first: 0, count, ports: stack.ports }
        await load.ask('load', 'open', { group, concurrency: CONCURRENCY, ...peers }, DEADLINE_MS)
        await load.ask('load', 'join', { group, room: 'stadium' }, DEADLINE_MS)
        await measure()
        return { measure, stop }
      } catch (error) {
        await stop()
        throw error
      }
    },
  }
}

const PEERAGE = 'peerage'
const OTHERS: readonly StackName[] = ['socket.io, classic adapter', 'socket.io, sharded adapter']

export const room: readonly Comparison[] = [
  {
    id: 'room',
    title: `A room of ${MEMBERS}`,
    load:
      `${MEMBERS} members on ${NODES} nodes; members take turns to send ${TIMES} messages of ${BODY_BYTES} bytes a ` +
      `round, each once all others have received the previous one; CPU of both nodes and of Redis`,
    processes: 'kept',
    rounds: 3,
    contenders: [contender(PEERAGE), ...OTHERS.map(contender)],
    rows: OTHERS.flatMap((against) => [
      {
        measure: `until the last of ${MEMBERS} members has a message`,
        metric: 'lastMs',
        unit: 'ms',
        subject: PEERAGE,
        against,
      },
      { measure: 'CPU per delivery in a room', metric: 'cpuUs', unit: 'µs', subject: PEERAGE, against },
    ]),
  },
]
