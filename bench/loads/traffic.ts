import type { Numbers } from '../lib/channel.js'
import { quantile } from '../lib/stats.js'
import type { Group } from './group.js'
import { paced, type Pace } from './pace.js'
import type { LoadPeer, PeerEvents } from './peer.js'

export interface TrafficOptions extends Pace {
  bodyBytes: number
  /** The recipient answers each message with one of the same size; a latency is then a round trip. */
  echo: boolean
  /** Wait at the end for end-to-end acknowledgements, too. */
  acknowledged: boolean
}

/** How long after the last send a message may still arrive. */
const DRAIN_MS = 3000
const POLL_MS = 2
const SHOWN_PROBLEMS = 3
/** Tells a message from an answer to one, in the first character of a body. */
const REQUEST = 'q'
const ANSWER = 'r'

/** A body: its mark, the time it was due in milliseconds, `|`, padding. */
const bodyOf = (mark: string, due: string, bytes: number): string => `${mark}${due}|`.padEnd(bytes, 'x')

/** Counts what a process's peers send and get, and keeps the latency of each message. */
export class Traffic implements Omit<PeerEvents, 'lost'> {
  #echo = false
  #latencies: number[] = []
  #acknowledged = 0
  #problems: string[] = []

  readonly body = (peer: LoadPeer, from: string, body: string): void => {
    const due = body.slice(1, body.indexOf('|'))
    if (this.#echo && body.startsWith(REQUEST)) peer.message(from, bodyOf(ANSWER, due, body.length))
    else this.#latencies.push(performance.now() - Number(due))
  }

  readonly acknowledged = (count: number): void => {
    this.#acknowledged += count
  }

  readonly problem = (text: string): void => {
    this.#problems.push(text.slice(0, 200))
  }

  /** The peers of `from` send to their counterparts in `to`, in turns. */
  async run(from: Group, to: Group, options: TrafficOptions): Promise<Numbers> {
    this.#reset(options)
    const cpuBefore = process.cpuUsage()
    const start = performance.now()
    const pairs = Math.min(from.peers.length, to.peers.length)
    const sent = await paced(options, (dueMs, index) => {
      const recipient = to.peers[index % pairs]
      if (recipient === undefined) return
      from.peers[index % pairs]?.message(recipient.name, bodyOf(REQUEST, dueMs.toFixed(3), options.bodyBytes))
    })
    await this.#drained(sent, options)
    const ms = performance.now() - start
    const { user, system } = process.cpuUsage(cpuBefore)
    if (this.#problems.length > 0) throw new Error(this.#problems.slice(0, SHOWN_PROBLEMS).join('\n'))
    return { sent, ms, loadShare: (user + system) / (ms * 1000), ...this.#tally(sent) }
  }

  #reset(options: TrafficOptions): void {
    this.#echo = options.echo
    this.#latencies = []
    this.#acknowledged = 0
    this.#problems = []
  }

  async #drained(sent: number, options: TrafficOptions): Promise<void> {
    // With answers, both sides acknowledge: a message and its answer.
    const acknowledgements = options.acknowledged ? sent * (options.echo ? 2 : 1) : 0
    const end = performance.now() + DRAIN_MS
    while (performance.now() < end) {
      if (this.#latencies.length >= sent && this.#acknowledged >= acknowledgements) return
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  #tally(sent: number): Numbers {
    const sorted = Float64Array.from(this.#latencies).sort()
    const received = sorted.length
    return {
      received,
      lost: sent - received,
      acknowledged: this.#acknowledged,
      p50: quantile(sorted, 0.5),
      p90: quantile(sorted, 0.9),
      p99: quantile(sorted, 0.99),
      max: quantile(sorted, 1),
    }
  }
}
