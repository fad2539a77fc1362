import type { Metrics } from './lib/comparison.js'
import type { BenchProcess } from './lib/processes.js'
import { startLoad, type Stack } from './stacks.js'

/** For each pair, the port of its sender's node and of its recipient's node. */
export interface Places {
  from: readonly number[]
  to: readonly number[]
}

export interface Run {
  ms: number
  /** Messages a second of all pairs together, in an open loop. */
  rate: number
  /** Messages in flight per pair in a closed loop; 0: an open loop at `rate`. */
  window: number
  /** Uses only this many of the pairs, over all processes; all if absent. */
  pairs?: number
}

export interface PairLoadOptions {
  /** By default two, so that the load is not the limit. Latencies are exact only with one. */
  processes?: number
  /** The recipient answers each message. */
  echo?: boolean
  /** Spins until each due time, for exact latencies. */
  precise?: boolean
}

/** Like one ICE candidate in its envelope. */
export const BODY_BYTES = 256
/** At least this many pairs warm up a stack, so that no pair exceeds its limit of messages. */
export const WARM_PAIRS = 100
const PROCESSES = 2
const WARM_MS_PER_NODE = 2500
const WARM_WINDOW = 8
/** How long after the run the messages in flight may take. */
const ANSWER_MS = 30_000
const CONNECT_CONCURRENCY = 10
/** Above this share of a core, the load process itself is the bottleneck, and the run does not measure the stack. */
const MOST_LOAD_SHARE = 0.9

/** The sender and the recipient of a pair are on two different nodes, and each node has its share of all pairs. */
export function placePairs(load: { pairs: number; active: number }, ports: readonly number[]): Places {
  const port = (index: number): number => ports[index % load.active] ?? 0
  const pairs = Array.from({ length: load.pairs }, (_, index) => index)
  const step = (index: number): number => 1 + (Math.floor(index / load.active) % (load.active - 1))
  return { from: pairs.map(port), to: pairs.map((index) => port(index + step(index))) }
}

/** Pairs of peers that send messages through a stack, spread over some load processes. */
export class PairLoad {
  readonly #stack: Stack
  readonly #processes: readonly BenchProcess[]
  readonly #options: PairLoadOptions

  private constructor(stack: Stack, processes: readonly BenchProcess[], options: PairLoadOptions) {
    this.#stack = stack
    this.#processes = processes
    this.#options = options
  }

  static async start(stack: Stack, places: Places, options: PairLoadOptions = {}): Promise<PairLoad> {
    const count = options.processes ?? PROCESSES
    const processes: BenchProcess[] = []
    try {
      for (let index = 0; index < count; index++) {
        const process = await startLoad()
        processes.push(process)
        await openPairs(process, stack, share(places, index, count), options.echo ?? false)
      }
      return new PairLoad(stack, processes, options)
    } catch (error) {
      await Promise.all([...processes.map((process) => process.stop()), stack.stop()])
      throw error
    }
  }

  /** Runs all pairs at once. Throws if Peerage lost a message or a load process was the limit. */
  async run(run: Run): Promise<Metrics> {
    const { echo = false, precise = false } = this.#options
    const count = this.#processes.length
    const shared = { from: 'from', to: 'to', bodyBytes: BODY_BYTES, echo, precise }
    const { acknowledges: acknowledged } = this.#stack
    const part = run.pairs === undefined ? {} : { pairs: run.pairs / count }
    const options = { ...shared, ...run, ...part, acknowledged, rate: run.rate / count }
    const results = await Promise.all(
      this.#processes.map((process) => process.ask('load', 'run', options, run.ms + ANSWER_MS)),
    )
    const result = merged(results)
    // If another stack loses messages, only the results show it. If Peerage loses one, the comparison fails.
    const ours = this.#stack.wire === 'peerage' || this.#stack.wire === 'peerjs'
    if (ours && (result['lost'] ?? 0) > 0) throw new Error(`lost messages: ${JSON.stringify(result)}`)
    const limited = !precise && (result['loadShare'] ?? 0) > MOST_LOAD_SHARE
    if (limited) throw new Error('a load process was the limit, not the stack')
    return result
  }

  /** Runs as fast as the stack goes until V8 has compiled the hot code on each node, so longer with more nodes. */
  async warmUp(scale: number): Promise<void> {
    const ms = WARM_MS_PER_NODE * this.#stack.nodes.length * scale
    await this.run({ ms, rate: 1, window: WARM_WINDOW })
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.stop()))
  }
}

async function openPairs(load: BenchProcess, stack: Stack, places: Share, echo: boolean): Promise<void> {
  const { first } = places
  const shared = { wire: stack.wire, first, count: places.from.length, concurrency: CONNECT_CONCURRENCY }
  await load.ask('load', 'open', { ...shared, group: 'from', prefix: 's', ports: places.from })
  await load.ask('load', 'open', { ...shared, group: 'to', prefix: 'r', ports: places.to })
  await load.ask('load', 'prepare', { from: 'from', to: 'to', echo })
}

type Share = Places & { first: number }

function share({ from, to }: Places, index: number, count: number): Share {
  const first = Math.floor((from.length * index) / count)
  const end = Math.floor((from.length * (index + 1)) / count)
  return { first, from: from.slice(first, end), to: to.slice(first, end) }
}

const SUMMED: ReadonlySet<string> = new Set(['sent', 'received', 'lost', 'acknowledged', 'acks'])

/** Adds up counts, and takes the largest of times and shares. */
function merged(results: readonly Metrics[]): Metrics {
  const all: { [metric: string]: number } = {}
  for (const result of results)
    for (const [name, value] of Object.entries(result)) {
      const before = all[name]
      if (before === undefined) all[name] = value
      else all[name] = SUMMED.has(name) ? before + value : Math.max(before, value)
    }
  return all
}
