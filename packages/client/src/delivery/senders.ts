import type { Name, NodeMessageOf } from '@peerage/protocol'
import type { Carrier } from './signaling.js'
import { ALL_READ } from './unread.js'

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

export type Message = NodeMessageOf<'message'>

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

export interface Stream {
  sender: Sender
  from: Name
  stream: string
  /** The seq that the application gets next. */
  next: number
  /** Which of those before it could not be read [WD19]. */
  unread: bigint
  /** When something last came, for expiry. */
  at: number
  early: Map<number, Message>
  carrier: Carrier
}

export interface SendersOptions {
  server: Carrier
  /** An idle stream is forgotten after this: well over every sender's deadline. */
  streamMs: number
}

/** Who has sent something, and what of it waits: within bounds, so that no sender takes the room of others. */
export class Senders {
  readonly #options: SendersOptions
  readonly #onForgotten: (stream: Stream) => void
  /** Both from the longest unheard to the latest. */
  readonly #known = new Map<Name, Sender>()
  readonly #strangers = new Map<Name, Sender>()
  #earlyChars = 0
  /** Of whom something waits, by the leading zeros of what it costs: who holds most comes first, within a factor of two. */
  readonly #bySize = Array.from({ length: 33 }, () => new Set<Sender>())
  /** In which something waits, from the longest without progress to the latest. */
  readonly #waiting = new Set<Stream>()

  /** `onForgotten` hears of a stream of which nothing was handed over. */
  constructor(options: SendersOptions, onForgotten: (stream: Stream) => void) {
    this.#options = options
    this.#onForgotten = onForgotten
  }

  all(): Stream[] {
    const senders = [...this.#known.values(), ...this.#strangers.values()]
    return senders.flatMap(({ streams }) => [...streams.values()])
  }

  /** The stream, from now on the latest one; `next` is what it begins with where it is new. */
  open(from: Name, since: number, id: string, next: number, at: number, known = false): Stream {
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
        if (!known) this.#onForgotten(stream)
      }
      senders.delete(from)
    }
  }

  /**
   * `seq` waits. Over a bound, what waits behind a gap goes first: the newest of whoever holds most. What waits in order,
   * parts of a message, is progress: it goes last, of the stream that has made none for longest. Nothing of it was
   * acknowledged, so it comes again.
   */
  makeRoom(stream: Stream, seq: number): void {
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
    if (stream !== undefined) this.take(stream, Math.max(...stream.early.keys()))
  }

  /** What waits of a stream is not handed over. */
  #discard(stream: Stream): void {
    for (const seq of stream.early.keys()) this.take(stream, seq)
  }

  /** The sender gave up everything below `base`: what waited for it is never handed over [WD9]. */
  skip(stream: Stream, base: number): void {
    for (const seq of stream.early.keys()) if (seq < base) this.take(stream, seq)
    stream.next = base
    stream.unread = ALL_READ
  }

  /** The message waits for one before it, or for a listener. */
  wait(stream: Stream, message: Message): void {
    stream.early.set(message.seq, message)
    this.#count(stream, costOf(message))
  }

  /** The message waits no longer. */
  take(stream: Stream, seq: number): void {
    const message = stream.early.get(seq)
    if (message === undefined) return
    stream.early.delete(seq)
    if (stream.early.size === 0) this.#waiting.delete(stream)
    this.#count(stream, -costOf(message))
  }

  #count({ sender }: Stream, chars: number): void {
    sender.chars += chars
    this.#earlyChars += chars
    if (sender.chars === 0) this.#move(sender, undefined)
  }

  /** Something of it is handed over. */
  know({ from, sender }: Stream): void {
    if (sender.known) return
    sender.known = true
    this.#strangers.delete(from)
    this.#known.set(from, sender)
  }
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
