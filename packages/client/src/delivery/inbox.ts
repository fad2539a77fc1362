import type { Name } from '@peerage/protocol'
import { limits } from '@peerage/protocol'
import { fragmentCountOf, joinFragments } from './body.js'
import type { Clock, Timer } from '../lib/clock.js'
import { Senders } from './senders.js'
import type { Message, SendersOptions, Stream } from './senders.js'
import type { Carrier } from './signaling.js'
import { WINDOW, latestOf, withUnread, shifted, parseUnread, formatUnread } from './unread.js'

/** Acknowledgements are sent at most once in this time [WD5], unless many messages wait for theirs. */
const ACK_BATCH_MS = 20
/** When this many messages wait, they are acknowledged at once. It is half a window, so the sender never has to stop. */
const ACK_BATCH_MESSAGES = WINDOW / 2

/**
 * What a page remembers of a stream over a reload. `next` is the first seq that was not handed over, `at` the time of
 * its last use in milliseconds, `unread` the hexadecimal bits of the messages that could not be read.
 */
export type Seen = [from: Name, stream: string, next: number, at: number, unread?: string]

export interface InboxOptions extends SendersOptions {
  clock: Clock
  /** Whether the application listens for this kind. Until it does, messages wait and are not acknowledged [WD8]. */
  listens: (kind: Message['kind']) => boolean
  /** Hands one message to the application. Returns false if the body cannot be read. Must not throw. */
  hand: (message: Message) => boolean
  /**
   * Saves what was handed over. Called before the acknowledgement [WD7]. If absent, nothing is kept beyond the process.
   */
  save?: (() => void) | undefined
}

/** The receiving half of delivery: hands over each message once and in order per stream, then acknowledges it. */
export class Inbox {
  readonly #options: InboxOptions
  readonly #senders: Senders
  /** The streams to acknowledge. */
  readonly #due = new Set<Stream>()
  /** The number of messages that were handed over, but not saved and acknowledged yet. */
  #unacked = 0
  /** When messages were last acknowledged. Signals do not count. */
  #ackedAt = -Infinity
  #isMessageDue = false
  #timer: Timer | undefined

  constructor(options: InboxOptions, seen: Seen[] = []) {
    this.#options = options
    this.#senders = new Senders(options, (stream) => this.#due.delete(stream))
    for (const [from, stream, next, at, unread] of seen)
      this.#senders.open(from, 0, stream, next, at, true).unread = parseUnread(unread)
  }

  receive(message: Message, carrier: Carrier): void {
    const { from, seq, base } = message
    // The acknowledgement names seq + 1, which must be a safe integer. A node closes peers that send malformed frames.
    if (base < 1 || seq < base || seq === Number.MAX_SAFE_INTEGER) return
    const now = this.#options.clock.now()
    const stream = this.#senders.open(from, message.since, message.stream, base, now)
    stream.carrier = carrier
    if (base > stream.next) this.#senders.skip(stream, base)
    stream.unread = latestOf(stream.unread, stream.next - base)
    const isNew = seq >= stream.next && seq < stream.next + WINDOW && !stream.early.has(seq)
    if (isNew) this.#senders.add(stream, message)
    // Hand over before making room, so that a message that is next in order is never dropped.
    this.#handOver(stream)
    if (isNew && stream.early.has(seq)) this.#senders.makeRoom(stream, seq)
    this.#ackSoon(stream, now, message.kind)
  }

  /** Hands over the waiting messages. Called when the application adds a listener. */
  drain(): void {
    for (const stream of this.#senders.all())
      if (this.#handOver(stream)) this.#ackSoon(stream, this.#options.clock.now(), 'message')
  }

  seen(): Seen[] {
    const since = this.#options.clock.now() - this.#options.streamMs
    const fresh = this.#senders.all().filter(({ at }) => at > since)
    return fresh.map(({ from, stream, next, at, unread }) => {
      const text = formatUnread(unread)
      return text === undefined ? [from, stream, next, at] : [from, stream, next, at, text]
    })
  }

  /** Sends the batched acknowledgements now, because the peer is about to end. */
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
      const bodies = bodiesFrom(stream, waiting)
      if (bodies === undefined) return some
      for (let i = 0; i < bodies.length; i++) this.#senders.remove(stream, stream.next + i)
      // Count before handing over, because a listener that adds another listener calls this method again.
      stream.next += bodies.length
      stream.unread = shifted(stream.unread, bodies.length)
      const { next } = stream
      this.#senders.markKnown(stream)
      this.#unacked += bodies.length
      some = true
      // The sender gave up the first fragment of this message, so the rest is of no use.
      const isRest = fragmentCountOf(waiting.body) === 0
      const whole = bodies.length === 1 ? waiting : { ...waiting, body: joinFragments(bodies) }
      if (!isRest && this.#options.hand(whole)) continue
      stream.unread = withUnread(stream.unread, bodies.length, stream.next - next)
    }
  }

  #ackSoon(stream: Stream, now: number, kind: Message['kind']): void {
    this.#due.add(stream)
    if (this.#unacked >= ACK_BATCH_MESSAGES) return this.#ack()
    // No one waits for the acknowledgement of a signal, so it can always be batched. It also does not start the
    // interval for messages, because any stranger may send signals.
    if (kind === 'signal') {
      this.#timer ??= this.#options.clock.after(ACK_BATCH_MS, () => this.#ack())
      return
    }
    this.#isMessageDue = true
    const waitMs = this.#ackedAt + ACK_BATCH_MS - now
    // Acknowledge at once where possible, because timers of hidden tabs are slow. If the remaining wait is
    // longer than the batch interval, the clock was set back.
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
          const text = formatUnread(unread)
          return text === undefined ? { to, stream, next } : { to, stream, next, unread: text }
        })
        // If an acknowledgement is lost, the sender resends, and we acknowledge again.
        if (carrier.send({ type: 'ack', acks }) !== true) this.#options.server.send({ type: 'ack', acks })
      }
  }
}

/** The bodies of the message that begins with `first`; undefined if not all fragments have arrived [WD17]. */
function bodiesFrom({ early, next }: Stream, first: Message): string[] | undefined {
  const bodies = [first.body]
  for (let i = 1; i < (fragmentCountOf(first.body) ?? 1); i++) {
    const fragment = early.get(next + i)
    if (fragment === undefined) return undefined
    // No SDK sends this. The first fragment alone cannot be decoded, so it counts as unreadable.
    if (fragmentCountOf(fragment.body) !== 0) return [first.body]
    bodies.push(fragment.body)
  }
  return bodies
}
