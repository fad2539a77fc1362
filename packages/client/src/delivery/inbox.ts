import type { Name } from '@peerage/protocol'
import { limits } from '@peerage/protocol'
import { joinParts, partsOf } from './body.js'
import type { Clock, Timer } from '../lib/clock.js'
import { Senders } from './senders.js'
import type { Message, SendersOptions, Stream } from './senders.js'
import type { Carrier } from './signaling.js'
import { WINDOW, lastOf, marked, moved, readUnread, written } from './unread.js'

/** At most one batch of acknowledgements in this time [WD5]… */
const ACK_BATCH_MS = 20
/** …unless so many messages wait for it: half a window, so that the sender never stands still. */
const ACK_BATCH_MESSAGES = WINDOW / 2

/** What a reload must remember: sender, stream, next, when it was last used, and what could not be read (hexadecimal). */
export type Seen = [from: Name, stream: string, next: number, at: number, unread?: string]

export interface InboxOptions extends SendersOptions {
  clock: Clock
  /** Whether the application listens for this kind yet; until then messages wait, unacknowledged [WD8]. */
  listens: (kind: Message['kind']) => boolean
  /** Hands one message to the application. False: nobody can read it. Must not throw. */
  hand: (message: Message) => boolean
  /** Keeps what was handed over, before it is acknowledged [WD7]; absent: nothing outlives the process. */
  save?: (() => void) | undefined
}

/** The receiving half of delivery: each message once and in order per stream, then acknowledged. */
export class Inbox {
  readonly #options: InboxOptions
  readonly #senders: Senders
  /** What is to be acknowledged. */
  readonly #due = new Set<Stream>()
  /** Handed over, but not saved and acknowledged yet. */
  #unacked = 0
  /** When messages were acknowledged last; signals do not count. */
  #ackedAt = -Infinity
  #isMessageDue = false
  #timer: Timer | undefined

  constructor(options: InboxOptions, seen: Seen[] = []) {
    this.#options = options
    this.#senders = new Senders(options, (stream) => this.#due.delete(stream))
    for (const [from, stream, next, at, unread] of seen)
      this.#senders.open(from, 0, stream, next, at, true).unread = readUnread(unread)
  }

  receive(message: Message, carrier: Carrier): void {
    const { from, seq, base } = message
    // The seq after it must be one too, or its acknowledgement is malformed, and a node closes who sends such.
    if (base < 1 || seq < base || seq === Number.MAX_SAFE_INTEGER) return
    const now = this.#options.clock.now()
    const stream = this.#senders.open(from, message.since, message.stream, base, now)
    stream.carrier = carrier
    if (base > stream.next) this.#senders.skip(stream, base)
    stream.unread = lastOf(stream.unread, stream.next - base)
    const isNew = seq >= stream.next && seq < stream.next + WINDOW && !stream.early.has(seq)
    if (isNew) this.#senders.wait(stream, message)
    // First: the next in order never finds the room taken.
    this.#handOver(stream)
    if (isNew && stream.early.has(seq)) this.#senders.makeRoom(stream, seq)
    this.#ackSoon(stream, now, message.kind)
  }

  /** Somebody listens now: hands over what waited. */
  drain(): void {
    for (const stream of this.#senders.all())
      if (this.#handOver(stream)) this.#ackSoon(stream, this.#options.clock.now(), 'message')
  }

  seen(): Seen[] {
    const since = this.#options.clock.now() - this.#options.streamMs
    const fresh = this.#senders.all().filter(({ at }) => at > since)
    return fresh.map(({ from, stream, next, at, unread }) => {
      const text = written(unread)
      return text === undefined ? [from, stream, next, at] : [from, stream, next, at, text]
    })
  }

  /** Acknowledges now what waits for company: the peer goes. */
  flush(): void {
    if (this.#due.size > 0) this.#ack()
  }

  close(): void {
    this.#timer?.cancel()
  }

  #handOver(stream: Stream): boolean {
    let some = false
    for (;;) {
      const waiting = stream.early.get(stream.next)
      if (waiting === undefined || !this.#options.listens(waiting.kind)) return some
      const parts = partsFrom(stream, waiting)
      if (parts === undefined) return some
      for (let i = 0; i < parts.length; i++) this.#senders.take(stream, stream.next + i)
      // Counted first: a listener may come back here (by adding another listener) while it runs.
      stream.next += parts.length
      stream.unread = moved(stream.unread, parts.length)
      const { next } = stream
      this.#senders.know(stream)
      this.#unacked += parts.length
      some = true
      // Of a message whose beginning was given up, the rest is nothing.
      const isRest = partsOf(waiting.body) === 0
      const whole = parts.length === 1 ? waiting : { ...waiting, body: joinParts(parts) }
      if (!isRest && this.#options.hand(whole)) continue
      stream.unread = marked(stream.unread, parts.length, stream.next - next)
    }
  }

  #ackSoon(stream: Stream, now: number, kind: Message['kind']): void {
    this.#due.add(stream)
    if (this.#unacked >= ACK_BATCH_MESSAGES) return this.#ack()
    // Nobody waits for a signal's acknowledgement, and while a channel opens each frame is one too many. Nor does it make
    // a message's wait: strangers may send signals.
    if (kind === 'signal') {
      this.#timer ??= this.#options.clock.after(ACK_BATCH_MS, () => this.#ack())
      return
    }
    this.#isMessageDue = true
    const waitMs = this.#ackedAt + ACK_BATCH_MS - now
    // At once where possible: timers of hidden tabs are slow. A wait beyond the batch is a clock set back.
    if (waitMs <= 0 || waitMs > ACK_BATCH_MS) return this.#ack()
    this.#timer ??= this.#options.clock.after(waitMs, () => this.#ack())
  }

  #ack(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#isMessageDue) this.#ackedAt = this.#options.clock.now()
    this.#isMessageDue = false
    if (this.#unacked > 0) this.#options.save?.()
    this.#unacked = 0
    const batches = new Map<Carrier, Stream[]>()
    for (const stream of this.#due)
      batches.set(stream.carrier, [...(batches.get(stream.carrier) ?? []), stream])
    this.#due.clear()
    for (const [carrier, streams] of batches)
      for (let i = 0; i < streams.length; i += limits.acksPerFrame) {
        const acks = streams.slice(i, i + limits.acksPerFrame).map(({ from: to, stream, next, unread }) => {
          const text = written(unread)
          return text === undefined ? { to, stream, next } : { to, stream, next, unread: text }
        })
        // A lost acknowledgement is asked for again by the sender's resend.
        if (carrier.send({ type: 'ack', acks }) !== true) this.#options.server.send({ type: 'ack', acks })
      }
  }
}

/** The bodies of the next message of the stream, which `first` begins; undefined: they are not all there [WD17]. */
function partsFrom({ early, next }: Stream, first: Message): string[] | undefined {
  const bodies = [first.body]
  for (let i = 1; i < (partsOf(first.body) ?? 1); i++) {
    const part = early.get(next + i)
    if (part === undefined) return undefined
    // No SDK sends such: the first one is read for itself, and so not at all.
    if (partsOf(part.body) !== 0) return [first.body]
    bodies.push(part.body)
  }
  return bodies
}
