import type { Name, NodeMessageOf } from '@peerage/protocol'
import type { Carrier } from './signaling.js'
import { ALL_READ } from './unread.js'

/**
 * Streams per sender: two kinds, and some reloads. A new one beyond this replaces the oldest stream of the same sender.
 */
const STREAMS_PER_SENDER = 16
/** Senders whose messages were handed over. The sender that has been silent for longest is forgotten first. */
const SENDERS = 4_096
/**
 * Senders of which no message was handed over. Forgetting one loses only unacknowledged messages, which are sent again.
 */
const STRANGERS = 1_024
/** Most characters of messages that wait for an earlier message or for a listener: for each sender, and in total. */
const SENDER_CHARS = 1024 * 1024
const EARLY_CHARS = 4 * 1024 * 1024
/** The cost of a message in addition to its body, so that empty messages are bounded, too. */
const MESSAGE_CHARS = 256

export type Message = NodeMessageOf<'message'>

const costOf = ({ body }: Message): number => body.length + MESSAGE_CHARS

interface Sender {
  /** Least recently used first. */
  streams: Map<string, Stream>
  /** The latest holder of the name. Waiting messages of earlier holders are dropped. */
  since: number
  /** The cost of its waiting messages. */
  chars: number
  /** The senders whose waiting messages cost about as much. Undefined while none of its messages wait. */
  group: Set<Sender> | undefined
  /** Whether a message was handed over. If so, its streams must be kept, so that none is handed over again. */
  known: boolean
}

export interface Stream {
  sender: Sender
  from: Name
  stream: string
  /** The seq that the application gets next. */
  next: number
  /** Which of the messages before `next` could not be read [WD19]. */
  unread: bigint
  /** When the last message came, for expiry. */
  at: number
  /** Waiting messages by seq. */
  early: Map<number, Message>
  carrier: Carrier
}

export interface SendersOptions {
  server: Carrier
  /** An idle stream is forgotten after this. It must be longer than any sender's deadline. */
  streamMs: number
}

/**
 * The senders, their streams and their waiting messages. All are bounded, so that no sender takes the room of others.
 */
export class Senders {
  readonly #options: SendersOptions
  readonly #onForgotten: (stream: Stream) => void
  /** In both, the sender that has been silent for the longest time is first. */
  readonly #known = new Map<Name, Sender>()
  readonly #strangers = new Map<Name, Sender>()
  #earlyChars = 0
  /**
   * The senders with waiting messages, by the leading zeros of their cost. So the first group has the senders that hold
   * most, within a factor of two.
   */
  readonly #bySize = Array.from({ length: 33 }, () => new Set<Sender>())
  /** The streams with waiting messages. The one without progress for longest is first. */
  readonly #waiting = new Set<Stream>()

  /** `onForgotten` is called for a stream that is forgotten, if none of its messages was handed over. */
  constructor(options: SendersOptions, onForgotten: (stream: Stream) => void) {
    this.#options = options
    this.#onForgotten = onForgotten
  }

  all(): Stream[] {
    const senders = [...this.#known.values(), ...this.#strangers.values()]
    return senders.flatMap(({ streams }) => [...streams.values()])
  }

  /** Returns the stream, and makes it the most recently used one. If it is new, its first seq is `next`. */
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
      // The earlier holder is gone, so nobody resends its missing messages. We keep what was handed over of its
      // streams.
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

  /** Forgets the senders over the bound, and those that have been idle for too long. */
  #forget(senders: Map<Name, Sender>, most: number, now: number): void {
    for (const [from, { streams, known }] of senders) {
      if (senders.size <= most && isFresh(streams, now - this.#options.streamMs)) return
      for (const stream of streams.values()) {
        this.#discard(stream)
        // A pending acknowledgement of a handed-over message must still be sent. Otherwise the sender would send the
        // message again.
        if (!known) this.#onForgotten(stream)
      }
      senders.delete(from)
    }
  }

  /**
   * Drops waiting messages over the bounds, after `seq` was added [WD12]. Messages behind a gap are dropped first: the
   * newest one of the sender that holds most. Messages without a gap before them, such as fragments, are dropped last,
   * of the stream without progress for longest. A dropped message was not acknowledged, so it comes again.
   */
  makeRoom(stream: Stream, seq: number): void {
    const { sender } = stream
    if (seq < stream.next + inOrder(stream)) this.#waiting.delete(stream)
    this.#waiting.add(stream)
    this.#move(sender, this.#groupOf(sender))
    while (sender.chars > SENDER_CHARS) this.#dropNewest(largest(sender, ({ early }) => early.size))
    while (this.#earlyChars > EARLY_CHARS) {
      const [idle] = this.#waiting
      this.#dropNewest(this.#mostBehindGap() ?? idle)
    }
  }

  /**
   * The stream with most messages behind a gap, of the sender that holds most. On the way it moves senders that are in
   * the wrong group by now, or have no message behind a gap.
   */
  #mostBehindGap(): Stream | undefined {
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
    if (stream !== undefined) this.remove(stream, Math.max(...stream.early.keys()))
  }

  /** Drops the waiting messages of a stream. */
  #discard(stream: Stream): void {
    for (const seq of stream.early.keys()) this.remove(stream, seq)
  }

  /** Drops the waiting messages below `base`, because the sender gave up everything before `base` [WD9]. */
  skip(stream: Stream, base: number): void {
    for (const seq of stream.early.keys()) if (seq < base) this.remove(stream, seq)
    stream.next = base
    stream.unread = ALL_READ
  }

  /** Adds a message that waits for an earlier one or for a listener. */
  add(stream: Stream, message: Message): void {
    stream.early.set(message.seq, message)
    this.#count(stream, costOf(message))
  }

  /** Removes a waiting message. */
  remove(stream: Stream, seq: number): void {
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

  /** Marks the sender as one whose messages are handed over. */
  markKnown({ from, sender }: Stream): void {
    if (sender.known) return
    sender.known = true
    this.#strangers.delete(from)
    this.#known.set(from, sender)
  }
}

/** Whether a message of one of the streams came after `since`. */
function isFresh(streams: Map<string, Stream>, since: number): boolean {
  for (const { at } of streams.values()) if (at > since) return true
  return false
}

/** How many messages wait without a gap before them: for more fragments, or for a listener. */
function inOrder({ early, next }: Stream): number {
  let count = 0
  while (early.has(next + count)) count++
  return count
}

/** The sender's stream with the largest size; undefined if all sizes are 0. */
function largest({ streams }: Sender, sizeOf: (stream: Stream) => number): Stream | undefined {
  let most: Stream | undefined
  for (const stream of streams.values()) if (sizeOf(stream) > (most ? sizeOf(most) : 0)) most = stream
  return most
}
