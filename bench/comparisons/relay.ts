import type { Comparison, Contender, Metrics, Row } from '../lib/comparison.js'
import { cpuBetween, readCpu, sum } from '../lib/cpu.js'
import { BODY_BYTES, PairLoad, placePairs, type Places } from '../pairs.js'
import { overLinks } from '../paths.js'
import { startStack, type StackName } from '../stacks.js'

interface RelayLoad {
  /** Messages in flight per pair in a closed loop; 0: an open loop at `rate`. */
  window: number
  rate: number
}

const PAIRS = 100
const ROUND_MS = 5000
const SETTLE_MS = 1000
const QUICK_SHARE = 0.1

const PEER = 'peer'
const ONE_IN_MEMORY = 'peerage, one node, in memory'
const ONE = 'peerage, one node, with Redis'
const TWO = 'peerage, two nodes'
const TWO_OFF = 'peerage, two nodes, links off'

function contender(name: string, stackName: StackName, nodes: number, of: RelayLoad): Contender {
  return {
    name,
    start: async ({ quick }) => {
      const scale = quick ? QUICK_SHARE : 1
      const stack = await startStack(stackName, nodes)
      const load = await PairLoad.start(stack, place(stack.ports))
      const stop = async (): Promise<void> => {
        await load.stop()
        await stack.stop()
      }
      const traffic = (ms: number): Promise<Metrics> => load.run({ ...of, ms: ms * scale })
      const measure = async (): Promise<Metrics> => {
        const before = await readCpu(stack.nodes, stack.redis)
        const result = await traffic(ROUND_MS)
        const used = cpuBetween(before, await readCpu(stack.nodes, stack.redis))
        const received = result['received'] ?? 0
        return {
          cpuUs: (sum(used.nodes) + used.redis) / received,
          redisUs: used.redis / received,
          perSecond: (received * 1000) / (result['ms'] ?? Number.NaN),
          p50Ms: result['p50'] ?? Number.NaN,
          loadShare: result['loadShare'] ?? Number.NaN,
        }
      }
      try {
        await load.warmUp(scale)
        await traffic(SETTLE_MS)
        return { measure: () => overLinks(stack, measure), stop }
      } catch (error) {
        await stop()
        throw error
      }
    },
  }
}

function place(ports: readonly number[]): Places {
  if (ports.length > 1) return placePairs({ pairs: PAIRS, active: ports.length }, ports)
  const all = Array.from({ length: PAIRS }, () => ports[0] ?? 0)
  return { from: all, to: all }
}

const row = (what: string, subject: string, against: string, most?: number): Row => ({
  measure: `CPU per relayed PeerJS message, ${what}`,
  metric: 'cpuUs',
  unit: 'µs',
  subject,
  against,
  ...(most === undefined ? {} : { aim: { of: 'ratio', most } }),
})

/** The highest allowed ratio of CPU per message to peer's, on one node and across two. */
interface Aims {
  one: number
  two: number
}

function comparison(id: string, title: string, what: string, of: RelayLoad, aims: Aims): Comparison {
  const pace =
    of.window === 0
      ? `${of.rate} messages/s open loop, evenly spaced`
      : `closed loop, as fast as each server goes, ${of.window} messages in flight per pair, like a burst of candidates`
  return {
    id,
    title,
    load:
      `${PAIRS} pairs, CANDIDATE messages, ${pace}, ${BODY_BYTES}-byte bodies, ${ROUND_MS / 1000} s a round; ` +
      `CPU of all nodes and of Redis; peer always runs as a single process; peerage's limits on messages are raised`,
    processes: 'kept',
    rounds: 5,
    contenders: [
      contender(PEER, 'peer', 1, of),
      contender(ONE_IN_MEMORY, 'peerage as PeerJS, one node in memory', 1, of),
      contender(ONE, 'peerage as PeerJS', 1, of),
      contender(TWO, 'peerage as PeerJS', 2, of),
      contender(TWO_OFF, 'peerage as PeerJS, links off', 2, of),
    ],
    rows: [
      row(what, ONE_IN_MEMORY, PEER, aims.one),
      row(what, ONE, PEER, aims.one),
      row(what, TWO, PEER, aims.two),
      row(what, TWO, TWO_OFF),
    ],
  }
}

const BUSY: RelayLoad = { window: 8, rate: 1 }
/** Every message wakes the process, which costs more than the server's own work. */
const STEADY: RelayLoad = { window: 0, rate: 2000 }

export const relay: readonly Comparison[] = [
  comparison('peerjs-relay', 'Relayed PeerJS messages, busy', 'busy', BUSY, { one: 0.9, two: 2.2 }),
  comparison('peerjs-relay-steady', 'Relayed PeerJS messages, steady', '2,000/s', STEADY, {
    one: 0.95,
    two: 2,
  }),
]
