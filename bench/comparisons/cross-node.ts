import type { Comparison, Contender, Metrics, Row } from '../lib/comparison.js'
import { cpuBetween, readCpu, sum } from '../lib/cpu.js'
import { BODY_BYTES, PairLoad, WARM_PAIRS, placePairs } from '../pairs.js'
import { overLinks } from '../paths.js'
import { startStack, type Stack, type StackName } from '../stacks.js'

/** The pairs of peers that send messages, and their rate. */
export interface CrossNodeLoad {
  nodes: number
  /** Only this many nodes hold peers, and the other nodes are idle. */
  active: number
  pairs: number
  /** Messages in flight per pair, in a closed loop that runs as fast as the stack goes. 0: an open loop at `rate`. */
  window: number
  rate: number
  ms: number
}

const SETTLE_MS = 1000
const QUICK_SHARE = 0.1

const CLASSIC = 'socket.io, classic adapter'
const SHARDED = 'socket.io, sharded adapter'
const WITH_ACK = 'socket.io, classic adapter, emitWithAck'
const PLAIN = 'peerage, plain links'
const OFF = 'peerage, links off'
const STACKS: readonly StackName[] = ['peerage', PLAIN, OFF, CLASSIC, SHARDED, WITH_ACK]
const FEWER_STACKS: readonly StackName[] = ['peerage', OFF, CLASSIC, SHARDED, WITH_ACK]
/** The commands that a message costs on a single Redis server: a publish, and a look-up if the name is not known yet. */
const ASKED = ['spublish', 'publish', 'mget']

function contender(name: string, stackName: StackName, full: CrossNodeLoad): Contender {
  return {
    name,
    start: async ({ quick }) => {
      const scale = quick ? QUICK_SHARE : 1
      const stack = await startStack(stackName, full.nodes)
      const pairs = Math.max(full.pairs, WARM_PAIRS)
      const load = await PairLoad.start(stack, placePairs({ ...full, pairs }, stack.ports))
      const stop = async (): Promise<void> => {
        await load.stop()
        await stack.stop()
      }
      try {
        const traffic = (ms: number): Promise<Metrics> => load.run({ ...full, ms: ms * scale })
        await load.warmUp(scale)
        await traffic(SETTLE_MS)
        return { measure: () => overLinks(stack, () => measure(stack, full, traffic)), stop }
      } catch (error) {
        await stop()
        throw error
      }
    },
  }
}

async function measure(
  stack: Stack,
  load: CrossNodeLoad,
  traffic: (ms: number) => Promise<Metrics>,
): Promise<Metrics> {
  const quiet = load.active < load.nodes ? await quietCpu(stack, load) : undefined
  const callsBefore = await stack.redis?.calls()
  const before = await readCpu(stack.nodes, stack.redis)
  const startMs = performance.now()
  const result = await traffic(load.ms)
  const used = cpuBetween(before, await readCpu(stack.nodes, stack.redis))
  const ms = performance.now() - startMs
  const callsAfter = await stack.redis?.calls()
  const received = result['received'] ?? 0
  return {
    cpuUs: (sum(used.nodes) + used.redis) / received,
    nodesUs: sum(used.nodes) / received,
    redisUs: used.redis / received,
    redisCalls: (callCount(callsAfter) - callCount(callsBefore)) / received,
    redisAsked: (askedCount(callsAfter) - askedCount(callsBefore)) / received,
    p50Ms: result['p50'] ?? Number.NaN,
    p99Ms: result['p99'] ?? Number.NaN,
    lost: result['lost'] ?? Number.NaN,
    acks: (result['acks'] ?? Number.NaN) / received,
    perSecond: (received * 1000) / (result['ms'] ?? Number.NaN),
    loadShare: result['loadShare'] ?? Number.NaN,
    ...(quiet === undefined ? {} : { idleUs: idlePerMessage(used.nodes, quiet, ms, load, received) }),
  }
}

type Calls = Readonly<Record<string, number>> | undefined
const callCount = (calls: Calls): number => sum(Object.values(calls ?? {}))
const askedCount = (calls: Calls): number => sum(ASKED.map((command) => calls?.[command] ?? 0))

/** The CPU of each idle node without any traffic, in µs per ms: its beats and its pings. */
async function quietCpu(stack: Stack, load: CrossNodeLoad): Promise<readonly number[]> {
  const before = await readCpu(stack.nodes, stack.redis)
  const start = performance.now()
  await new Promise((resolve) => setTimeout(resolve, load.ms / 2))
  const used = cpuBetween(before, await readCpu(stack.nodes, stack.redis))
  const ms = performance.now() - start
  return used.nodes.map((us) => us / ms)
}

function idlePerMessage(
  used: readonly number[],
  quiet: readonly number[],
  ms: number,
  load: CrossNodeLoad,
  received: number,
): number {
  const extra = used.map((us, index) => us - (quiet[index] ?? 0) * ms).slice(load.active)
  return sum(extra) / extra.length / received
}

const cpuRow = (against: StackName, what: string, most?: number): Row => ({
  measure: `CPU per cross-node message, ${what}`,
  metric: 'cpuUs',
  unit: 'µs',
  subject: 'peerage',
  against,
  ...(most === undefined ? {} : { aim: { of: 'ratio', most } }),
})

function describeLoad({ nodes, active, pairs, window, rate, ms }: CrossNodeLoad): string {
  const where = active === nodes ? `over ${nodes} nodes` : `between ${active} of ${nodes} nodes`
  const pace =
    window === 0
      ? `${rate} messages/s open loop (${rate / pairs}/s a pair)`
      : `closed loop, as fast as each stack goes, ${window} messages in flight per pair, like a burst of candidates`
  return (
    `${pairs} pairs ${where}, ${pace}, ${BODY_BYTES}-byte bodies, ${ms / 1000} s a round; CPU of all nodes and of ` +
    `Redis; peerage acknowledges end to end as its SDK does (the first message at once, then at most one frame in ` +
    `20 ms per recipient), emitWithAck acknowledges each message, the other two acknowledge none`
  )
}

/** Busy nodes: here the CPU per message decides how many messages a machine carries. */
const TWO: CrossNodeLoad = { nodes: 2, active: 2, pairs: 100, window: 8, rate: 0, ms: 5000 }
const EIGHT: CrossNodeLoad = { ...TWO, nodes: 8, active: 8 }
const IDLE: CrossNodeLoad = { ...TWO, nodes: 8, ms: 8000 }
/** Mostly idle nodes: every message wakes every process on its path, and there is little to batch. */
const STEADY: CrossNodeLoad = { ...TWO, pairs: 20, window: 0, rate: 2000 }
/** The least favourable case: every message has its own acknowledgement. */
const SPARSE: CrossNodeLoad = { ...STEADY, pairs: 400 }

const comparison = (
  id: string,
  title: string,
  load: CrossNodeLoad,
  stacks: readonly StackName[],
  rows: readonly Row[],
): Comparison => ({
  id,
  title,
  load: describeLoad(load),
  processes: 'kept',
  rounds: 5,
  contenders: stacks.map((name) => contender(name, name, load)),
  rows,
})

const value = (measure: string, metric: string, unit: string, most: number): Row => ({
  measure,
  metric,
  unit,
  subject: 'peerage',
  aim: { of: 'value', most },
})

/** Links compared with no links, and what TLS costs on them. */
const linkRows = (what: string, most?: number): Row[] => [
  cpuRow(OFF, what, most),
  { ...cpuRow(OFF, what), subject: PLAIN },
]

const FLAT_2 = 'peerage, 2 nodes'
const FLAT_8 = 'peerage, 2 busy of 8 nodes'
const FLAT_LOAD: CrossNodeLoad = { ...TWO, nodes: 8 }
const flat: Comparison = {
  ...comparison('flat', 'The same traffic in a cluster of 2 and of 8', FLAT_LOAD, [], []),
  contenders: [contender(FLAT_2, 'peerage', TWO), contender(FLAT_8, 'peerage', FLAT_LOAD)],
  rows: [
    {
      measure: 'CPU per cross-node message, 8 nodes against 2',
      metric: 'cpuUs',
      unit: 'µs',
      subject: FLAT_8,
      against: FLAT_2,
      aim: { of: 'ratio', most: 1.1 },
    },
  ],
}

export const crossNode: readonly Comparison[] = [
  comparison('cross-node-2', 'Cross-node messages, native wire, 2 nodes', TWO, STACKS, [
    ...linkRows('2 nodes, busy'),
    cpuRow(CLASSIC, '2 nodes, busy', 0.45),
    cpuRow(SHARDED, '2 nodes, busy', 0.55),
    cpuRow(WITH_ACK, '2 nodes, busy', 0.25),
    value('Redis publishes and look-ups per message, busy', 'redisAsked', '', 0.01),
  ]),
  comparison('cross-node-8', 'Cross-node messages, native wire, 8 nodes', EIGHT, FEWER_STACKS, [
    cpuRow(OFF, '8 nodes, busy'),
    cpuRow(CLASSIC, '8 nodes, busy', 0.5),
    cpuRow(SHARDED, '8 nodes, busy', 0.9),
    cpuRow(WITH_ACK, '8 nodes, busy'),
  ]),
  comparison('idle-nodes', 'What each idle node pays per message, 2 of 8 nodes busy', IDLE, FEWER_STACKS, [
    value('CPU of an idle node per message', 'idleUs', 'µs', 0.3),
    { measure: 'CPU of an idle node per message', metric: 'idleUs', unit: 'µs', subject: CLASSIC },
    { measure: 'CPU of an idle node per message', metric: 'idleUs', unit: 'µs', subject: SHARDED },
  ]),
  flat,
  comparison('cross-node-steady', 'Cross-node messages, 2 nodes, steady', STEADY, STACKS, [
    ...linkRows('2 nodes, 2,000/s', 0.65),
    cpuRow(CLASSIC, '2 nodes, 2,000/s', 0.65),
    cpuRow(SHARDED, '2 nodes, 2,000/s'),
    cpuRow(WITH_ACK, '2 nodes, 2,000/s', 0.33),
    value('Redis publishes and look-ups per message, 2,000/s', 'redisAsked', '', 0.01),
  ]),
  comparison('cross-node-sparse', 'Cross-node messages, 2 nodes, few per pair', SPARSE, STACKS, [
    ...linkRows('2 nodes, 2,000/s, 400 pairs', 0.75),
    cpuRow(CLASSIC, '2 nodes, 2,000/s, 400 pairs', 0.85),
    cpuRow(SHARDED, '2 nodes, 2,000/s, 400 pairs'),
    cpuRow(WITH_ACK, '2 nodes, 2,000/s, 400 pairs', 0.45),
    value('Redis publishes and look-ups per message, 2,000/s, 400 pairs', 'redisAsked', '', 0.01),
  ]),
]
