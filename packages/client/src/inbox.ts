import type { Name, NodeMessageOf } from '@peerage/protocol'
import { limits } from '@peerage/protocol'
import { joinParts, partsOf } from './body.js'
import type { Clock, Timer } from './clock.js'
import type { Carrier } from './signaling.js'

/** How far ahead of the first unsettled message a sender may be, in messages [D6]. */
export const WINDOW = 64
/** At most one batch of acknowledgements in this time [D5]… */
const ACK_BATCH_MS = 20
/** …unless so many messages wait for it: half a window, so that the sender never stands still. */
const ACK_BATCH_MESSAGES = WINDOW / 2
/** Streams of one sender: two kinds, some reloads. More pushes out that sender's oldest, nobody else's. */
const STREAMS_PER_SENDER = 16
const SENDERS = 4_096
/** Characters of messages that wait for one before them, or for a listener. */
const EARLY_CHARS = 4 * 1024 * 1024

type Message = NodeMessageOf<'message'>

interface Stream {
  from: Name
  stream: string
  /** The seq that the application gets next. */
  next: number
  /** When something last came, for expiry. */
  at: number
  early: Map<number, Message>
  carrier: Carrier
}

/** What a reload must remember: sender, stream, next, and when it was last used. */
export type Seen = [from: Name, stream: string, next: number, at: number]

export interface InboxDeps {
  clock: Clock
  server: Carrier
  /** Whether the application listens for this kind yet; until then messages wait, unacknowledged [D8]. */
  listens: (kind: Message['kind']) => boolean
  /** Hands one message to the application. Must not throw. */
  hand: (message: Message) => void
  /** Keeps what was handed over, before it is acknowledged [D7]; absent: nothing outlives the process. */
  save?: (() => void) | undefined
  /** An idle stream is forgotten after this: well over every sender's deadline. */
  streamMs: number
}

/** The receiving half of delivery: each message once and in order per stream, then acknowledged. */
export class Inbox {
  readonly #deps: InboxDeps
  /** Both levels from the longest unused to the latest. */
  readonly #senders = new Map<Name, Map<string, Stream>>()
  readonly #due = new Set<Stream>()
  #earlyChars = 0
  /** Handed over, but not saved and acknowledged yet. */
  #unacked = 0
  #ackedAt = -Infinity
  #timer: Timer | undefined

  constructor(deps: InboxDeps, seen: Seen[] = []) {
    this.#deps = deps
    for (const [from, stream, next, at] of seen) this.#open(from, stream, next, at)
  }

  receive(message: Message, carrier: Carrier): void {
    const { from, seq, base } = message
    if (base < 1 || seq < base) return
    const now = this.#deps.clock.now()
    const stream = this.#open(from, message.stream, base, now)
    stream.carrier = carrier
    if (base > stream.next) this.#skip(stream, base)
    const expected = seq >= stream.next && seq < stream.next + WINDOW && !stream.early.has(seq)
    if (expected && this.#earlyChars + message.body.length <= EARLY_CHARS) {
      stream.early.set(seq, message)
      this.#earlyChars += message.body.length
    }
    this.#handOver(stream)
    this.#ackSoon(stream, now, message.kind)
  }

  /** Somebody listens now: hands over what waited. */
  drain(): void {
    for (const streams of this.#senders.values())
      for (const stream of streams.values())
        if (this.#handOver(stream)) this.#ackSoon(stream, this.#deps.clock.now(), 'message')
  }

  seen(): Seen[] {
    const all = [...this.#senders.values()].flatMap((streams) => [...streams.values()])
    const since = this.#deps.clock.now() - this.#deps.streamMs
    return all.filter(({ at }) => at > since).map(({ from, stream, next, at }) => [from, stream, next, at])
  }

  close(): void {
    this.#timer?.cancel()
  }

  #open(from: Name, id: string, next: number, at: number): Stream {
    const streams = this.#senders.get(from) ?? new Map<string, Stream>()
    const stream = streams.get(id) ?? {
      from,
      stream: id,
      next,
      at,
      early: new Map<number, Message>(),
      carrier: this.#deps.server,
    }
    stream.at = at
    streams.delete(id)
    streams.set(id, stream)
    this.#senders.delete(from)
    this.#senders.set(from, streams)
    this.#forget(streams, at)
    return stream
  }

  /** Forgets what is over the bounds or long idle: the sender's oldest stream, the longest unheard senders. */
  #forget(streams: Map<string, Stream>, now: number): void {
    for (const [id, oldest] of streams) {
      if (streams.size <= STREAMS_PER_SENDER) break
      this.#drop(oldest)
      streams.delete(id)
    }
    for (const [from, idle] of this.#senders) {
      const old = [...idle.values()].every(({ at }) => at <= now - this.#deps.streamMs)
      if (this.#senders.size <= SENDERS && !old) break
      for (const stream of idle.values()) this.#drop(stream)
      this.#senders.delete(from)
    }
  }

  #drop(stream: Stream): void {
    this.#skip(stream, Infinity)
    this.#due.delete(stream)
  }

  /** The sender gave up everything below `base`: what waited for it is never handed over [D9]. */
  #skip(stream: Stream, base: number): void {
    for (const seq of stream.early.keys()) if (seq < base) this.#take(stream, seq)
    stream.next = base
  }

  #take(stream: Stream, seq: number): Message | undefined {
    const message = stream.early.get(seq)
    if (message === undefined) return undefined
    stream.early.delete(seq)
    this.#earlyChars -= message.body.length
    return message
  }

  #handOver(stream: Stream): boolean {
    let some = false
    for (;;) {
      const waiting = stream.early.get(stream.next)
      if (waiting === undefined || !this.#deps.listens(waiting.kind)) return some
      const count = partsOf(waiting.body) ?? 1
      // All of it, or nothing yet: what is acknowledged has been handed over whole [D17].
      for (let seq = stream.next; seq < stream.next + count; seq++) if (!stream.early.has(seq)) return some
      const parts: string[] = []
      for (let i = 0; i < Math.max(count, 1); i++) parts.push(this.#take(stream, stream.next + i)?.body ?? '')
      // Counted first: a listener may come back here (by adding another listener) while it runs.
      stream.next += parts.length
      this.#unacked += parts.length
      some = true
      // Of a message whose beginning was given up, the rest is nothing.
      if (count > 0) this.#deps.hand(count === 1 ? waiting : { ...waiting, body: joinParts(parts) })
    }
  }

  #ackSoon(stream: Stream, now: number, kind: Message['kind']): void {
    this.#due.add(stream)
    if (this.#unacked >= ACK_BATCH_MESSAGES) return this.#ack()
    // Nobody waits for a signal's acknowledgement, and while a channel opens each frame is one too many.
    if (kind === 'signal' && this.#timer === undefined) this.#ackedAt = now
    const waitMs = this.#ackedAt + ACK_BATCH_MS - now
    // At once where possible: timers of hidden tabs are slow. A wait beyond the batch is a clock set back.
    if (waitMs <= 0 || waitMs > ACK_BATCH_MS) return this.#ack()
    this.#timer ??= this.#deps.clock.after(waitMs, () => this.#ack())
  }

  #ack(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#ackedAt = this.#deps.clock.now()
    if (this.#unacked > 0) this.#deps.save?.()
    this.#unacked = 0
    const batches = new Map<Carrier, Stream[]>()
    for (const stream of this.#due)
      batches.set(stream.carrier, [...(batches.get(stream.carrier) ?? []), stream])
    this.#due.clear()
    for (const [carrier, streams] of batches)
      for (let i = 0; i < streams.length; i += limits.acksPerFrame) {
        const acks = streams
          .slice(i, i + limits.acksPerFrame)
          .map(({ from: to, stream, next }) => ({ to, stream, next }))
        // A lost acknowledgement is asked for again by the sender's resend.
        if (carrier.send({ type: 'ack', acks }) !== true) this.#deps.server.send({ type: 'ack', acks })
      }
  }
}
