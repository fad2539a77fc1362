import type { Duplex } from 'node:stream'
import type { Clock } from '@peerage/core'
import { Rush, afterTurn } from '@peerage/core'

/** More frames than this within 100 ms are a rush. */
const RUSH = 500

/** What waits for one peer until the end of the turn. */
interface Waiting {
  frames: string[]
  /** Of all frames. */
  bytes: number
}

/** What others send to a peer may fill so much of its bound: the rest is for what the node itself must say. */
const RELAYED_SHARE = 0.5
/** Less than one relayed frame may leave below its share: who is so far behind and reads nothing is stuck. */
const FAR_BEHIND_SHARE = 0.25

/**
 * Writes whole text frames of a server (RFC 6455 §5.2). In a rush the frames of one turn of the event loop to one peer
 * are one buffer and one write: the system call costs more than all the rest of a message. Beside what ws itself
 * writes they may stand anywhere between two frames, for without compression ws writes each of its own at once.
 */
export class FrameWriter {
  readonly #mostBytes: number
  readonly #rush: Rush
  readonly #waiting = new Map<Duplex, Waiting>()
  readonly #backlog: Backlog
  /** What each peer that was far behind at its last ping had read by then. */
  readonly #read = new WeakMap<Duplex, number>()

  /** `mostBytes`: over this many that wait to be read, a peer is a slow consumer. */
  constructor(mostBytes: number, clock: Clock, backlog: Backlog) {
    this.#mostBytes = mostBytes
    this.#rush = new Rush(RUSH, clock)
    this.#backlog = backlog
  }

  /** How many bytes of what others send may wait for a peer. */
  get relayedMost(): number {
    return this.#mostBytes * RELAYED_SHARE
  }

  /**
   * Takes what another peer sent or caused. False: the recipient is behind, and the frame was not taken; the recipient
   * is not cut for what others do. `bytes`: of the frame.
   */
  relay(stream: Duplex, frame: string, bytes: number): boolean {
    const waiting = this.#waitingFor(stream)
    const written = stream.writableLength
    const ahead = written + (waiting?.bytes ?? 0)
    if (ahead > 0) {
      if (ahead + bytes > this.relayedMost) return false
      if (written > 0 && this.#backlog.isOver(stream)) return false
    }
    this.#take(stream, frame, bytes, waiting)
    return true
  }

  isBehind(stream: Duplex): boolean {
    return stream.writableLength > this.#mostBytes * FAR_BEHIND_SHARE
  }

  /** To be asked once a ping interval: whether a peer that is far behind has read nothing since it was asked last. */
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

  /** Takes a frame for a stream that is open. False: the peer is a slow consumer, and the frame was not taken. */
  write(stream: Duplex, frame: string): boolean {
    const waiting = this.#waitingFor(stream)
    if (stream.writableLength + (waiting?.bytes ?? 0) > this.#mostBytes) return false
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

  /** Writes at once what waits for a peer: before its close frame, for example. */
  flush(stream: Duplex): void {
    const waiting = this.#waitingFor(stream)
    if (waiting === undefined) return
    this.#waiting.delete(stream)
    if (stream.writable) writeTo(stream, encodeAll(waiting.frames))
  }

  #flushAll(): void {
    // The members of a room are told by one string: it is encoded for the first of them.
    let last = ''
    let encoded: Encoded = ''
    for (const [stream, { frames, bytes }] of this.#waiting) {
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
    this.#waiting.clear()
  }
}

/**
 * What goes to a socket. Short text in ASCII needs no buffer of its own: that would be two allocations a message. Of a longer
 * one Node makes a copy for each socket, where a buffer is shared.
 */
type Encoded = Buffer | string

function writeTo(stream: Duplex, encoded: Encoded): void {
  if (typeof encoded === 'string') stream.write(encoded, 'latin1')
  else stream.write(encoded)
}

const FINAL_TEXT = 0x81
/** What Node copies to the stack as it writes it. */
const TEXT_MOST_BYTES = 16 * 1024
/** Lengths over these stand in 2 and in 8 bytes of their own. */
const SHORT_MOST = 125
const MIDDLE_MOST = 65_535

function encodeAll(frames: readonly string[]): Encoded {
  const encoded = frames.map((frame) => encode(frame, Buffer.byteLength(frame)))
  if (encoded.every((one) => typeof one === 'string')) return encoded.join('')
  return Buffer.concat(encoded.map((one) => (typeof one === 'string' ? Buffer.from(one, 'latin1') : one)))
}

function encode(frame: string, bytes: number): Encoded {
  const head = headOf(bytes)
  if (bytes === frame.length && bytes <= TEXT_MOST_BYTES) return head + frame
  const buffer = Buffer.allocUnsafe(head.length + bytes)
  buffer.write(head, 'latin1')
  buffer.write(frame, head.length)
  return buffer
}

/** One character for each of its bytes. */
function headOf(bytes: number): string {
  if (bytes <= SHORT_MOST) return String.fromCharCode(FINAL_TEXT, bytes)
  if (bytes <= MIDDLE_MOST) return String.fromCharCode(FINAL_TEXT, 126, bytes >> 8, bytes & 0xff)
  const length = Buffer.alloc(8)
  length.writeBigUInt64BE(BigInt(bytes))
  return String.fromCharCode(FINAL_TEXT, 127, ...length)
}

/** The sum is made anew so often at most: between, it may be passed by what one node takes in within this time. */
const SUM_EVERY_MS = 100

/** What waits to be read by all peers of a node together. Costs nothing while all of them read. */
export class Backlog {
  readonly #mostBytes: number
  readonly #clock: Clock
  readonly #behind = new Set<Duplex>()
  #summedAt = Number.NEGATIVE_INFINITY
  #bytes = 0

  /** 0: no limit. */
  constructor(mostBytes: number, clock: Clock) {
    this.#mostBytes = mostBytes
    this.#clock = clock
  }

  /** Whether more waits than may. Takes note of a stream that is behind. */
  isOver(stream: Duplex): boolean {
    if (this.#mostBytes === 0) return false
    this.#behind.add(stream)
    const now = this.#clock.monotonic()
    if (now - this.#summedAt >= SUM_EVERY_MS) {
      this.#summedAt = now
      this.#sum()
    }
    return this.#bytes > this.#mostBytes
  }

  #sum(): void {
    this.#bytes = 0
    for (const stream of this.#behind) {
      if (stream.destroyed || stream.writableLength === 0) this.#behind.delete(stream)
      else this.#bytes += stream.writableLength
    }
  }
}

/** A peer that can be pinged. False: the ping was not taken. */
export interface Pinged {
  sendPing(): boolean
}

/**
 * A ping goes out after so many bytes of others. A peer that reads so much within the ping timeout (5 s) is heard in
 * time, whatever waits for it. A ping and its pong are some 10 bytes, and a read of the socket.
 */
const MARK_BYTES = 32 * 1024
/**
 * What the answers to pings tell of what others sent to a peer. What it has read is seen neither in the node's buffer nor
 * in those of the kernel and of the way there, which hold megabytes. But pongs come in order: one that answers a ping
 * says that all before the ping was read. So after every so many bytes of others a ping goes out as a mark. Made with the
 * first frame of others: an idle peer has none. The heartbeat's pings are its owner's, and older than all marks, since
 * none is sent while a mark is out.
 */
export class Marks {
  /** Without an answer; before each of them went `MARK_BYTES`. */
  #out = 0
  /** What others have sent since the last mark. */
  #unmarked = 0
  /** It was behind at the last beat, and has answered no ping since. */
  #readsNothing = false
  readonly #most: number

  /** `most` bytes of others may be on their way: in the node's buffer, in those of the kernel, and on the line. */
  constructor(most: number) {
    this.#most = most
  }

  /** So much is on its way that others shall wait. */
  get isBehind(): boolean {
    return this.#out * MARK_BYTES + this.#unmarked > this.#most
  }

  /** Whether an answer is due. */
  get isOut(): boolean {
    return this.#out > 0
  }

  /** So many bytes of others were written to the peer. */
  relayed(bytes: number, peer: Pinged): void {
    this.#unmarked += bytes
    if (this.#unmarked >= MARK_BYTES) this.#send(peer)
  }

  /** To be called once a ping interval. False: the peer is behind, and has read nothing since the last time. */
  beat(peer: Pinged): boolean {
    // One for which there was no room goes out now.
    this.#send(peer)
    if (this.isBehind && this.#readsNothing) return false
    this.#readsNothing = this.isBehind
    return true
  }

  /** A ping of the heartbeat was answered. */
  reads(): void {
    this.#readsNothing = false
  }

  /** A pong has come that answers none of the heartbeat. False: nobody asked for it. */
  answered(): boolean {
    if (this.#out === 0) return false
    this.#out--
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
