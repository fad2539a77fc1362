import type { Name, NodeMessageOf } from '@peerage/protocol'
import { limits } from '@peerage/protocol'
import { joinParts, partsOf } from './body.js'
import type { Clock, Timer } from '../lib/clock.js'
import type { Carrier } from './signaling.js'
import { ALL_READ, WINDOW, lastOf, marked, moved, readUnread, written } from './unread.js'

/** At most one batch of acknowledgements in this time [D5]… */
const ACK_BATCH_MS = 20
/** …unless so many messages wait for it: half a window, so that the sender never stands still. */
const ACK_BATCH_MESSAGES = WINDOW / 2
/** Streams of one sender: two kinds, some reloads. More pushes out that sender's oldest, nobody else's. */
const STREAMS_PER_SENDER = 16
/** Senders of whom something was handed over. The longest unheard is forgotten first. */
const SENDERS = 4_096
/** Senders of whom nothing was: to forget one loses only what nobody acknowledged. */
const STRANGERS = 1_024
/** Characters of messages that wait for one before them, or for a listener: of one sender, and of all. */
const SENDER_CHARS = 1024 * 1024
const EARLY_CHARS = 4 * 1024 * 1024
/** What a message costs beside its body: empty ones are bounded, too. */
const MESSAGE_CHARS = 256

type Message = NodeMessageOf<'message'>

const costOf = ({ body }: Message): number => body.length + MESSAGE_CHARS

interface Sender {
  /** From the longest unused to the latest. */
  streams: Map<string, Stream>
  /** The latest stay: what waits of an earlier one is over. */
  since: number
  /** What its waiting messages cost. */
  chars: number
  /** Those that hold about as much, while something of it waits. */
  group: Set<Sender> | undefined
  /** Something of it was handed over: its streams say what must not be handed over again. */
  known: boolean
}

interface Stream {
  sender: Sender
  from: Name
  stream: string
  /** The seq that the application gets next. */
  next: number
  /** Which of those before it could not be read [D19]. */
  unread: bigint
  /** When something last came, for expiry. */
  at: number
  early: Map<number, Message>
  carrier: Carrier
}

/** What a reload must remember: sender, stream, next, when it was last used, and what could not be read (hexadecimal). */
export type Seen = [from: Name, stream: string, next: number, at: number, unread?: string]

export interface InboxOptions {
  clock: Clock
  server: Carrier
  /** Whether the application listens for this kind yet; until then messages wait, unacknowledged [D8]. */
  listens: (kind: Message['kind']) => boolean
  /** Hands one message to the application. False: nobody can read it. Must not throw. */
  hand: (message: Message) => boolean
  /** Keeps what was handed over, before it is acknowledged [D7]; absent: nothing outlives the process. */
  save?: (() => void) | undefined
  /** An idle stream is forgotten after this: well over every sender's deadline. */
  streamMs: number
}

/** The receiving half of delivery: each message once and in order per stream, then acknowledged. */
export class Inbox {
  readonly #options: InboxOptions
  /** Both from the longest unheard to the latest. */
  readonly #known = new Map<Name, Sender>()
  readonly #strangers = new Map<Name, Sender>()
  readonly #due = new Set<Stream>()
  #earlyChars = 0
  /** Of whom something waits, by the leading zeros of what it costs: who holds most comes first, within a factor of two. */
  readonly #bySize = Array.from({ length: 33 }, () => new Set<Sender>())
  /** In which something waits, from the longest without progress to the latest. */
  readonly #waiting = new Set<Stream>()
  /** Handed over, but not saved and acknowledged yet. */
  #unacked = 0
  /** When messages were acknowledged last; signals do not count. */
  #ackedAt = -Infinity
  #isMessageDue = false
  #timer: Timer | undefined

  constructor(options: InboxOptions, seen: Seen[] = []) {
    this.#options = options
    for (const [from, stream, next, at, unread] of seen)
      this.#open(from, 0, stream, next, at, true).unread = readUnread(unread)
  }

  receive(message: Message, carrier: Carrier): void {
    const { from, seq, base } = message
    // The seq after it must be one too, or its acknowledgement is malformed, and a node closes who sends such.
    if (base < 1 || seq < base || seq === Number.MAX_SAFE_INTEGER) return
    const now = this.#options.clock.now()
    const stream = this.#open(from, message.since, message.stream, base, now)
    stream.carrier = carrier
    if (base > stream.next) this.#skip(stream, base)
    stream.unread = lastOf(stream.unread, stream.next - base)
    const isNew = seq >= stream.next && seq < stream.next + WINDOW && !stream.early.has(seq)
    if (isNew) {
      stream.early.set(seq, message)
      this.#count(stream, costOf(message))
    }
    // First: the next in order never finds the room taken.
    this.#handOver(stream)
    if (isNew && stream.early.has(seq)) this.#makeRoom(stream, seq)
    this.#ackSoon(stream, now, message.kind)
  }

  /** Somebody listens now: hands over what waited. */
  drain(): void {
    for (const sender of this.#senders())
      for (const stream of sender.streams.values())
        if (this.#handOver(stream)) this.#ackSoon(stream, this.#options.clock.now(), 'message')
  }

  seen(): Seen[] {
    const all = this.#senders().flatMap(({ streams }) => [...streams.values()])
    const since = this.#options.clock.now() - this.#options.streamMs
    const entry = ({ from, stream, next, at, unread }: Stream): Seen => {
      const text = written(unread)
      return text === undefined ? [from, stream, next, at] : [from, stream, next, at, text]
    }
    return all.filter(({ at }) => at > since).map(entry)
  }

  /** Acknowledges now what waits for company: the peer goes. */
  flush(): void {
    if (this.#due.size > 0) this.#ack()
  }

  close(): void {
    this.#timer?.cancel()
  }

  #senders(): Sender[] {
    return [...this.#known.values(), ...this.#strangers.values()]
  }

  #open(from: Name, since: number, id: string, next: number, at: number, known = false): Stream {
    const sender = this.#known.get(from) ??
      this.#strangers.get(from) ?? {
        streams: new Map<string, Stream>(),
        since,
        chars: 0,
        group: undefined,
        known,
      }
    const { streams } = sender
    if (since > sender.since) {
      // Nobody resends what an earlier stay left incomplete; what was handed over of it stays known.
      for (const old of streams.values()) this.#discard(old)
      sender.since = since
    }
    const stream = streams.get(id) ?? {
      sender,
      from,
      stream: id,
      next,
      unread: ALL_READ,
      at,
      early: new Map<number, Message>(),
      carrier: this.#options.server,
    }
    stream.at = at
    streams.delete(id)
    streams.set(id, stream)
    for (const [longest, old] of streams) {
      if (streams.size <= STREAMS_PER_SENDER) break
      this.#discard(old)
      streams.delete(longest)
    }
    const senders = sender.known ? this.#known : this.#strangers
    senders.delete(from)
    senders.set(from, sender)
    this.#forget(this.#known, SENDERS, at)
    this.#forget(this.#strangers, STRANGERS, at)
    return stream
  }

  /** Forgets the senders over the bound, and those long idle. */
  #forget(senders: Map<Name, Sender>, most: number, now: number): void {
    for (const [from, { streams, known }] of senders) {
      if (senders.size <= most && isFresh(streams, now - this.#options.streamMs)) return
      for (const stream of streams.values()) {
        this.#discard(stream)
        // What was handed over is acknowledged all the same, or it would be sent and handed over again.
        if (!known) this.#due.delete(stream)
      }
      senders.delete(from)
    }
  }

  /**
   * `seq` waits. Over a bound, what waits behind a gap goes first: the newest of whoever holds most. What waits in order,
   * parts of a message, is progress: it goes last, of the stream that has made none for longest. Nothing of it was
   * acknowledged, so it comes again.
   */
  #makeRoom(stream: Stream, seq: number): void {
    const { sender } = stream
    if (seq < stream.next + inOrder(stream)) this.#waiting.delete(stream)
    this.#waiting.add(stream)
    this.#move(sender, this.#groupOf(sender))
    while (sender.chars > SENDER_CHARS) this.#dropNewest(largest(sender, ({ early }) => early.size))
    while (this.#earlyChars > EARLY_CHARS) {
      const [idle] = this.#waiting
      this.#dropNewest(this.#mostAhead() ?? idle)
    }
  }

  /** Where most waits behind a gap. Whoever holds less than its group by now, or nothing behind a gap, is moved. */
  #mostAhead(): Stream | undefined {
    for (const group of this.#bySize)
      for (const sender of group) {
        const stream = largest(sender, (one) => one.early.size - inOrder(one))
        const right = stream && this.#groupOf(sender)
        if (right === group) return stream
        this.#move(sender, right)
      }
    return undefined
  }

  #groupOf({ chars }: Sender): Set<Sender> | undefined {
    return this.#bySize[Math.clz32(chars)]
  }

  #move(sender: Sender, group: Set<Sender> | undefined): void {
    sender.group?.delete(sender)
    sender.group = group?.add(sender)
  }

  #dropNewest(stream: Stream | undefined): void {
    if (stream !== undefined) this.#take(stream, Math.max(...stream.early.keys()))
  }

  /** What waits of a stream is not handed over. */
  #discard(stream: Stream): void {
    for (const seq of stream.early.keys()) this.#take(stream, seq)
  }

  /** The sender gave up everything below `base`: what waited for it is never handed over [D9]. */
  #skip(stream: Stream, base: number): void {
    for (const seq of stream.early.keys()) if (seq < base) this.#take(stream, seq)
    stream.next = base
    stream.unread = ALL_READ
  }

  #take(stream: Stream, seq: number): Message | undefined {
    const message = stream.early.get(seq)
    if (message === undefined) return undefined
    stream.early.delete(seq)
    if (stream.early.size === 0) this.#waiting.delete(stream)
    this.#count(stream, -costOf(message))
    return message
  }

  #count({ sender }: Stream, chars: number): void {
    sender.chars += chars
    this.#earlyChars += chars
    if (sender.chars === 0) this.#move(sender, undefined)
  }

  #know({ from, sender }: Stream): void {
    if (sender.known) return
    sender.known = true
    this.#strangers.delete(from)
    this.#known.set(from, sender)
  }

  #handOver(stream: Stream): boolean {
    let some = false
    for (;;) {
      const waiting = stream.early.get(stream.next)
      if (waiting === undefined || !this.#options.listens(waiting.kind)) return some
      const parts = partsFrom(stream, waiting)
      if (parts === undefined) return some
      for (let i = 0; i < parts.length; i++) this.#take(stream, stream.next + i)
      // Counted first: a listener may come back here (by adding another listener) while it runs.
      stream.next += parts.length
      stream.unread = moved(stream.unread, parts.length)
      const { next } = stream
      this.#know(stream)
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

/** The bodies of the next message of the stream, which `first` begins; undefined: they are not all there [D17]. */
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

/** Whether one of the streams was heard after `since`. */
function isFresh(streams: Map<string, Stream>, since: number): boolean {
  for (const { at } of streams.values()) if (at > since) return true
  return false
}

/** How many messages wait without a gap: for the rest of their message, or for a listener. */
function inOrder({ early, next }: Stream): number {
  let count = 0
  while (early.has(next + count)) count++
  return count
}

/** The stream of the sender with the largest size above 0. */
function largest({ streams }: Sender, sizeOf: (stream: Stream) => number): Stream | undefined {
  let most: Stream | undefined
  for (const stream of streams.values()) if (sizeOf(stream) > (most ? sizeOf(most) : 0)) most = stream
  return most
}
