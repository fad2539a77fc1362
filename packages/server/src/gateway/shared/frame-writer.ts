import type { Duplex } from 'node:stream'
import type { Clock } from '@peerage/core'
import { Rush, afterTurn } from '@peerage/core'

/** More frames than this within 100 ms are a rush: the writer then batches. */
const RUSH = 500

/** The frames that wait for one peer until the end of the turn of the event loop. */
interface Waiting {
  frames: string[]
  /** The length of all frames together. */
  bytes: number
}

/** The share of a peer's buffer that frames of other peers may fill. The rest is for frames of the node itself. */
const RELAYED_SHARE = 0.5
/**
 * A peer with more than this share of its buffer waiting is far behind, and stuck if it reads nothing. The share is below
 * half of the buffer, because a relayed frame that does not fit is refused and may leave the buffer less full than that.
 */
const FAR_BEHIND_SHARE = 0.25

/**
 * Writes whole text frames of a server (RFC 6455 §5.2). In a rush, all frames to one peer in one turn of the event loop
 * leave in one write, because the system call costs more than all other work for a message. Our frames may mix with
 * frames that ws writes: without compression ws writes each of its frames at once, so ours fall between two of them.
 */
export class FrameWriter {
  readonly #maxBytes: number
  readonly #rush: Rush
  #waiting = new Map<Duplex, Waiting>()
  readonly #backlog: Backlog
  /** How many bytes each peer that was far behind at its last ping had read by then. */
  readonly #read = new WeakMap<Duplex, number>()

  /** `maxBytes`: when more bytes than this wait to be read, a peer is a slow consumer. */
  constructor(maxBytes: number, clock: Clock, backlog: Backlog) {
    this.#maxBytes = maxBytes
    this.#rush = new Rush(RUSH, clock)
    this.#backlog = backlog
  }

  /** How many bytes of other peers' frames may wait for a peer. */
  get maxRelayed(): number {
    return this.#maxBytes * RELAYED_SHARE
  }

  /**
   * Writes a frame that another peer sent or caused. False: the recipient is behind, and the frame was not taken. The
   * recipient is not cut for what others do. `bytes` is the length of the frame.
   */
  relay(stream: Duplex, frame: string, bytes: number): boolean {
    const waiting = this.#waitingFor(stream)
    const written = stream.writableLength
    const ahead = written + (waiting?.bytes ?? 0)
    if (ahead > 0) {
      if (ahead + bytes > this.maxRelayed) return false
      if (written > 0 && this.#backlog.isOver(stream)) return false
    }
    this.#take(stream, frame, bytes, waiting)
    return true
  }

  isBehind(stream: Duplex): boolean {
    return stream.writableLength > this.#maxBytes * FAR_BEHIND_SHARE
  }

  /** Asked once a ping interval: whether a peer is far behind and has read nothing since the last call. */
  isStuck(stream: Duplex): boolean {
    if (!this.isBehind(stream)) {
      this.#read.delete(stream)
      return false
    }
    const read = ('bytesWritten' in stream ? Number(stream.bytesWritten) : 0) - stream.writableLength
    const before = this.#read.get(stream)
    this.#read.set(stream, read)
    return before !== undefined && read <= before
  }

  /** Writes a frame to an open stream. False: the peer is a slow consumer, and the frame was not taken. */
  write(stream: Duplex, frame: string): boolean {
    const waiting = this.#waitingFor(stream)
    if (stream.writableLength + (waiting?.bytes ?? 0) > this.#maxBytes) return false
    this.#take(stream, frame, Buffer.byteLength(frame), waiting)
    return true
  }

  #waitingFor(stream: Duplex): Waiting | undefined {
    return this.#waiting.size === 0 ? undefined : this.#waiting.get(stream)
  }

  #take(stream: Duplex, frame: string, bytes: number, waiting: Waiting | undefined): void {
    const isRush = this.#rush.add()
    if (waiting) {
      waiting.frames.push(frame)
      waiting.bytes += bytes
    } else if (isRush) {
      if (this.#waiting.size === 0) afterTurn(() => this.#flushAll())
      this.#waiting.set(stream, { frames: [frame], bytes })
    } else writeTo(stream, encode(frame, bytes))
  }

  /** Writes the waiting frames of a peer at once, for example before its close frame. */
  flush(stream: Duplex): void {
    const waiting = this.#waitingFor(stream)
    if (waiting === undefined) return
    this.#waiting.delete(stream)
    if (stream.writable) writeTo(stream, encodeAll(waiting.frames))
  }

  #flushAll(): void {
    // The members of a room get the same string one after the other, so it is encoded only for the first of them.
    let last = ''
    let encoded: Encoded = ''
    const waiting = this.#waiting
    // A new map, because V8 keeps what was in a map that is cleared again and again until the next full collection: each
    // cleared table refers to the one after it. That doubled the work of the collector.
    this.#waiting = new Map()
    for (const [stream, { frames, bytes }] of waiting) {
      if (!stream.writable) continue
      const [first = ''] = frames
      if (frames.length > 1) writeTo(stream, encodeAll(frames))
      else {
        if (first !== last) {
          last = first
          encoded = encode(first, bytes)
        }
        writeTo(stream, encoded)
      }
    }
  }
}

/**
 * A frame as it goes to a socket. Short ASCII text stays a string, because a buffer would cost two allocations a message.
 * Longer text becomes a buffer that all recipients share, because Node copies a long string for each socket.
 */
type Encoded = Buffer | string

function writeTo(stream: Duplex, encoded: Encoded): void {
  if (typeof encoded === 'string') stream.write(encoded, 'latin1')
  else stream.write(encoded)
}

const FINAL_TEXT = 0x81
/** Up to this length, Node copies a string to the stack as it writes it. */
const MAX_TEXT_BYTES = 16 * 1024
/** RFC 6455 §5.2: lengths above these take 2 and 8 extra bytes in the header. */
const MAX_SHORT_LENGTH = 125
const MAX_MIDDLE_LENGTH = 65_535

function encodeAll(frames: readonly string[]): Encoded {
  const encoded = frames.map((frame) => encode(frame, Buffer.byteLength(frame)))
  if (encoded.every((one) => typeof one === 'string')) return encoded.join('')
  return Buffer.concat(encoded.map((one) => (typeof one === 'string' ? Buffer.from(one, 'latin1') : one)))
}

function encode(frame: string, bytes: number): Encoded {
  const head = headOf(bytes)
  if (bytes === frame.length && bytes <= MAX_TEXT_BYTES) return head + frame
  const buffer = Buffer.allocUnsafe(head.length + bytes)
  buffer.write(head, 'latin1')
  buffer.write(frame, head.length)
  return buffer
}

/** The header of a frame, one character for each byte. */
function headOf(bytes: number): string {
  if (bytes <= MAX_SHORT_LENGTH) return String.fromCharCode(FINAL_TEXT, bytes)
  if (bytes <= MAX_MIDDLE_LENGTH) return String.fromCharCode(FINAL_TEXT, 126, bytes >> 8, bytes & 0xff)
  const length = Buffer.alloc(8)
  length.writeBigUInt64BE(BigInt(bytes))
  return String.fromCharCode(FINAL_TEXT, 127, ...length)
}

/** The sum is recomputed at most this often. Meanwhile it may be exceeded by what a node receives within this time. */
const SUM_EVERY_MS = 100

/** The bytes that wait for all peers of a node together. Costs nothing while all of them read. */
export class Backlog {
  readonly #maxBytes: number
  readonly #clock: Clock
  readonly #behind = new Set<Duplex>()
  #summedAt = Number.NEGATIVE_INFINITY
  #bytes = 0

  /** 0 means no limit. */
  constructor(maxBytes: number, clock: Clock) {
    this.#maxBytes = maxBytes
    this.#clock = clock
  }

  /** Whether more bytes wait than the limit allows. Also remembers `stream` as one that is behind. */
  isOver(stream: Duplex): boolean {
    if (this.#maxBytes === 0) return false
    this.#behind.add(stream)
    const now = this.#clock.monotonic()
    if (now - this.#summedAt >= SUM_EVERY_MS) {
      this.#summedAt = now
      this.#sum()
    }
    return this.#bytes > this.#maxBytes
  }

  #sum(): void {
    this.#bytes = 0
    for (const stream of this.#behind) {
      if (stream.destroyed || stream.writableLength === 0) this.#behind.delete(stream)
      else this.#bytes += stream.writableLength
    }
  }
}

/** A peer that can be pinged. */
export interface Pinged {
  /** False: the ping was not sent. */
  sendPing(): boolean
}

/**
 * A ping goes out after this many bytes of other peers. A peer that reads this much within the ping timeout (5 s) is
 * heard in time, whatever else waits for it. A ping and its pong cost about 10 bytes and one read of the socket.
 */
const MARK_BYTES = 32 * 1024
/**
 * Measures how much of what other peers sent a peer has read. The node's own buffer does not show this, because the
 * buffers of the kernel and of the network hold megabytes. But pongs come in order, so a pong means that the peer has
 * read everything before the ping. So a ping goes out as a mark after every `MARK_BYTES` of other peers.
 *
 * Marks are made with the first frame of another peer, so an idle peer has none. The connection counts the pings of the
 * heartbeat. An unanswered heartbeat ping is older than all marks, because none is sent while a mark is unanswered.
 */
export class Marks {
  /** How many marks are unanswered. `MARK_BYTES` went before each of them. */
  #out = 0
  /** How many bytes of other peers went out since the last mark. */
  #unmarked = 0
  /** How many marks are unanswered and do not count any more. */
  #forgiven = 0
  /** Whether the peer was behind at the last heartbeat and has answered no ping since. */
  #readsNothing = false
  readonly #maxUnread: number

  /** `maxUnread`: how many bytes of other peers may be unread, in the buffers of node and kernel and on the network. */
  constructor(maxUnread: number) {
    this.#maxUnread = maxUnread
  }

  /** Whether so much is unread that other peers must wait. */
  get isBehind(): boolean {
    return this.#out * MARK_BYTES + this.#unmarked > this.#maxUnread
  }

  /** Whether a mark is unanswered. */
  get isOut(): boolean {
    return this.#out > 0
  }

  /** Whether a ping goes out as soon as this many more bytes of other peers were written to the peer. */
  isDueAfter(bytes: number): boolean {
    return this.#unmarked + bytes >= MARK_BYTES
  }

  /** Counts bytes of other peers that were written to the peer. */
  relayed(bytes: number, peer: Pinged): void {
    this.#unmarked += bytes
    if (this.#unmarked >= MARK_BYTES) this.#send(peer)
  }

  /** Called once a ping interval. False: the peer is behind, and has read nothing since the last call. */
  beat(peer: Pinged): boolean {
    // Send the mark now, if it could not be sent before.
    this.#send(peer)
    if (this.isBehind && this.#readsNothing) return false
    this.#readsNothing = this.isBehind
    return true
  }

  /** The peer answered a ping of the heartbeat. */
  reads(): void {
    this.#readsNothing = false
  }

  /** The node itself leaves the pongs of the peer unread. What is unanswered so far says nothing about what the peer reads. */
  forgive(): void {
    this.#forgiven += this.#out
    this.#out = 0
    this.#unmarked = 0
    this.#readsNothing = false
  }

  /** A pong came that answers no ping of the heartbeat. False: it answers no mark either. */
  answered(): boolean {
    if (this.#forgiven > 0) this.#forgiven--
    else if (this.#out > 0) this.#out--
    else return false
    this.#readsNothing = false
    return true
  }

  #send(peer: Pinged): void {
    while (this.#unmarked >= MARK_BYTES && peer.sendPing()) {
      this.#unmarked -= MARK_BYTES
      this.#out++
    }
  }
}
