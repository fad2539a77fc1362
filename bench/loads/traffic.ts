import type { Numbers } from '../lib/channel.js'
import { quantile } from '../lib/stats.js'
import type { Group } from './group.js'
import { paced, type Pace } from './pace.js'
import type { LoadPeer, PeerEvents } from './peer.js'

export interface TrafficOptions extends Pace {
  bodyBytes: number
  /** The recipient answers each message with one of the same size, and a latency is a round trip. */
  echo: boolean
  /**
   * 0: an open loop at `rate`. Otherwise a closed loop, as fast as the stack goes: each sender keeps this many messages
   * in flight and sends the next one when one has arrived.
   */
  window: number
  /** At the end, also waits for the end-to-end acknowledgements. */
  acknowledged: boolean
  /** Uses only this many of the pairs; all if absent. */
  pairs?: number | undefined
}

export interface BroadcastOptions {
  room: string
  times: number
  bodyBytes: number
}

/** How long after the last send the run waits for messages. */
const DRAIN_MS = 3000
const POLL_MS = 2
const SHOWN_PROBLEMS = 3
/** The first character of a body tells a message from an answer. */
const REQUEST = 'q'
const ANSWER = 'r'

/** A body: its mark, the time it was due in milliseconds, `|`, padding. */
const bodyOf = (mark: string, due: string, bytes: number): string => `${mark}${due}|`.padEnd(bytes, 'x')

interface Pair {
  sender: LoadPeer
  recipient: LoadPeer
}

function pairsOf(from: Group, to: Group): Pair[] {
  return from.peers.flatMap((sender, index) => {
    const recipient = to.peers[index]
    return recipient === undefined ? [] : [{ sender, recipient }]
  })
}

/** Counts what a process's peers send and get, and keeps the latency of each message. */
export class Traffic implements Omit<PeerEvents, 'lost'> {
  #echo = false
  #latencies: number[] = []
  #acknowledged = 0
  #acks = 0
  #problems: string[] = []
  /** The sender of a broadcast, which some stacks send the message to, too. */
  #speaker: LoadPeer | undefined
  /** In a closed loop: what to do when a message arrives at this peer. */
  #next: Map<LoadPeer, () => void> | undefined

  readonly body = (peer: LoadPeer, from: string, body: string): void => {
    if (peer === this.#speaker) return
    const due = body.slice(1, body.indexOf('|'))
    if (this.#echo && body.startsWith(REQUEST)) peer.message(from, bodyOf(ANSWER, due, body.length))
    else {
      this.#latencies.push(performance.now() - Number(due))
      this.#next?.get(peer)?.()
    }
  }

  readonly acknowledged = (count: number): void => {
    this.#acknowledged += count
    this.#acks++
  }

  readonly problem = (text: string): void => {
    this.#problems.push(text.slice(0, 200))
  }

  /** The peers of `from` send to their counterparts in `to`, in turns. */
  async run(from: Group, to: Group, options: TrafficOptions): Promise<Numbers> {
    this.#reset(options)
    const cpuBefore = process.cpuUsage()
    const start = performance.now()
    const pairs = pairsOf(from, to).slice(0, options.pairs)
    const send = (index: number, dueMs: number): void => {
      const { sender, recipient } = pairs[index % pairs.length] ?? {}
      if (sender === undefined || recipient === undefined) throw new Error('there are no pairs')
      sender.message(recipient.name, bodyOf(REQUEST, dueMs.toFixed(3), options.bodyBytes))
    }
    const sent =
      options.window === 0
        ? await paced(options, (dueMs, index) => send(index, dueMs))
        : await this.#closedLoop(pairs, options, send)
    await this.#drained(sent, options)
    const ms = performance.now() - start
    const { user, system } = process.cpuUsage(cpuBefore)
    if (this.#problems.length > 0) throw new Error(this.#problems.slice(0, SHOWN_PROBLEMS).join('\n'))
    return { sent, ms, loadShare: (user + system) / (ms * 1000), ...this.#tally(sent) }
  }

  /**
   * The members send in turns, each once all others have received the previous message, because each member has its own
   * rate limit. `last` is the median time until the last member received a message.
   */
  async broadcast(group: Group, options: BroadcastOptions): Promise<Numbers> {
    this.#reset({ echo: false })
    const listeners = group.peers.length - 1
    const lasts: number[] = []
    for (let round = 1; round <= options.times; round++) {
      const from = this.#latencies.length
      const due = performance.now()
      const speaker = group.peers[round % group.peers.length]
      this.#speaker = speaker
      speaker?.say(options.room, bodyOf(REQUEST, due.toFixed(3), options.bodyBytes))
      while (this.#latencies.length < from + listeners) {
        if (performance.now() > due + DRAIN_MS)
          throw new Error(`only ${this.#latencies.length - from} of ${listeners} members received a message`)
        await new Promise((resolve) => setTimeout(resolve, POLL_MS))
      }
      lasts.push(Math.max(...this.#latencies.slice(from, from + listeners)))
    }
    if (this.#problems.length > 0) throw new Error(this.#problems.slice(0, SHOWN_PROBLEMS).join('\n'))
    const sorted = Float64Array.from(lasts).sort()
    return { received: this.#latencies.length, last: quantile(sorted, 0.5), max: quantile(sorted, 1) }
  }

  async #closedLoop(
    pairs: readonly Pair[],
    options: TrafficOptions,
    send: (index: number, dueMs: number) => void,
  ): Promise<number> {
    const end = performance.now() + options.ms
    let sent = 0
    const sendNext = (index: number): void => {
      const now = performance.now()
      if (now >= end) return
      sent++
      send(index, now)
    }
    // A message is complete at its recipient. With answers, it is complete when the answer reaches the sender.
    this.#next = new Map(
      pairs.map(({ sender, recipient }, index) => [options.echo ? sender : recipient, () => sendNext(index)]),
    )
    for (let turn = 0; turn < options.window; turn++) for (const index of pairs.keys()) sendNext(index)
    await new Promise((resolve) => setTimeout(resolve, options.ms))
    return sent
  }

  #reset(options: Pick<TrafficOptions, 'echo'>): void {
    this.#echo = options.echo
    this.#latencies = []
    this.#acknowledged = 0
    this.#acks = 0
    this.#next = undefined
    this.#speaker = undefined
    this.#problems = []
  }

  async #drained(sent: number, options: TrafficOptions): Promise<void> {
    // With answers, both sides acknowledge: the message and its answer.
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
      acks: this.#acks,
      p50: quantile(sorted, 0.5),
      p90: quantile(sorted, 0.9),
      p99: quantile(sorted, 0.99),
      max: quantile(sorted, 1),
    }
  }
}
