import type { Comparison, Contender, Metrics } from '../lib/comparison.js'
import { cpuBetween, readCpu, sum } from '../lib/cpu.js'
import { startLoad, startStack, type StackName } from '../stacks.js'
import { BODY_BYTES, openPairs, placePairs, run, warmUp } from './cross-node.js'

const PAIRS = 20
const RATE = 2000
const ROUND_MS = 5000
const SETTLE_MS = 1000
const QUICK_SHARE = 0.1

const PEER = 'peer'
const ONE_IN_MEMORY = 'peerage, one node, in memory'
const ONE = 'peerage, one node, with Redis'
const TWO = 'peerage, two nodes'

function contender(name: string, stackName: StackName, nodes: number): Contender {
  return {
    name,
    start: async ({ quick }) => {
      const scale = quick ? QUICK_SHARE : 1
      const stack = await startStack(stackName, nodes)
      const load = await startLoad()
      const stop = async (): Promise<void> => {
        await load.stop()
        await stack.stop()
      }
      const traffic = (ms: number): Promise<Metrics> =>
        run(load, stack, { rate: RATE, ms: ms * scale, window: 0 })
      const measure = async (): Promise<Metrics> => {
        const before = await readCpu(stack.nodes, stack.redis)
        const result = await traffic(ROUND_MS)
        const used = cpuBetween(before, await readCpu(stack.nodes, stack.redis))
        const received = result['received'] ?? 0
        return {
          cpuUs: (sum(used.nodes) + used.redis) / received,
          redisUs: used.redis / received,
          p50Ms: result['p50'] ?? Number.NaN,
          loadShare: result['loadShare'] ?? Number.NaN,
        }
      }
      try {
        await openPairs(load, stack, place(stack.ports), false)
        await warmUp(load, stack, scale, false)
        await traffic(SETTLE_MS)
        return { measure, stop }
      } catch (error) {
        await stop()
        throw error
      }
    },
  }
}

function place(ports: readonly number[]): { from: number[]; to: number[] } {
  if (ports.length > 1) return placePairs({ pairs: PAIRS, active: ports.length }, ports)
  const all = Array.from({ length: PAIRS }, () => ports[0] ?? 0)
  return { from: all, to: all }
}

const measure = 'CPU per relayed PeerJS message'

export const relay: readonly Comparison[] = [
  {
    id: 'peerjs-relay',
    title: 'Relayed PeerJS messages',
    load:
      `${PAIRS} pairs, ${RATE} CANDIDATE messages/s open loop, ${BODY_BYTES}-byte bodies, ` +
      `${ROUND_MS / 1000} s a round; CPU of all nodes and of Redis; peer always runs as its one process`,
    processes: 'kept',
    rounds: 5,
    contenders: [
      contender(PEER, 'peer', 1),
      contender(ONE_IN_MEMORY, 'peerage as PeerJS, one node in memory', 1),
      contender(ONE, 'peerage as PeerJS', 1),
      contender(TWO, 'peerage as PeerJS', 2),
    ],
    rows: [
      {
        measure,
        metric: 'cpuUs',
        unit: 'µs',
        subject: ONE_IN_MEMORY,
        against: PEER,
        aim: { of: 'ratio', most: 0.9 },
      },
      { measure, metric: 'cpuUs', unit: 'µs', subject: ONE, against: PEER, aim: { of: 'ratio', most: 0.9 } },
      { measure, metric: 'cpuUs', unit: 'µs', subject: TWO, against: PEER, aim: { of: 'ratio', most: 2.2 } },
    ],
  },
]
