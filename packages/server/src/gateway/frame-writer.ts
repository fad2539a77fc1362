import type { Duplex } from 'node:stream'
import type { Clock } from '@peerage/core'
import { Rush } from '@peerage/core'

/** More frames than this within a millisecond, and those to one peer wait for each other. */
const RUSH = 4

/** What waits for one peer until the end of the turn. */
interface Waiting {
  frames: string[]
  length: number
}

/**
 * Writes whole text frames of a server (RFC 6455 §5.2). In a rush the frames of one turn of the event loop to one peer
 * are one buffer and one write: the system call costs more than all the rest of a message. Beside what ws itself
 * writes they may stand anywhere between two frames, for without compression ws writes each of its own at once.
 */
export class FrameWriter {
  readonly #mostBytes: number
  readonly #rush: Rush
  readonly #waiting = new Map<Duplex, Waiting>()

  /** `mostBytes`: over this many that wait to be read, a peer is a slow consumer. */
  constructor(mostBytes: number, clock: Clock) {
    this.#mostBytes = mostBytes
    this.#rush = new Rush(RUSH, clock)
  }

  /** Takes a frame for a stream that is open. False: the peer is a slow consumer, and the frame was not taken. */
  write(stream: Duplex, frame: string): boolean {
    const waiting = this.#waiting.get(stream)
    if (stream.writableLength + (waiting?.length ?? 0) > this.#mostBytes) return false
    if (waiting) {
      this.#rush.add()
      waiting.frames.push(frame)
      waiting.length += frame.length
      return true
    }
    if (!this.#rush.add()) {
      stream.write(encode([frame]))
      return true
    }
    if (this.#waiting.size === 0) setImmediate(() => this.#flushAll())
    this.#waiting.set(stream, { frames: [frame], length: frame.length })
    return true
  }

  /** Writes at once what waits for a peer: before its close frame, for example. */
  flush(stream: Duplex): void {
    const waiting = this.#waiting.get(stream)
    if (waiting === undefined) return
    this.#waiting.delete(stream)
    if (stream.writable) stream.write(encode(waiting.frames))
  }

  #flushAll(): void {
    // The members of a room are told by one string: it is encoded for the first of them.
    let last = ''
    let encoded: Buffer = EMPTY
    for (const [stream, { frames }] of this.#waiting) {
      if (!stream.writable) continue
      const [first = ''] = frames
      if (frames.length > 1) stream.write(encode(frames))
      else {
        if (first !== last) {
          last = first
          encoded = encode(frames)
        }
        stream.write(encoded)
      }
    }
    this.#waiting.clear()
  }
}

const EMPTY = Buffer.alloc(0)
const FINAL_TEXT = 0x81
/** Lengths over these stand in 2 and in 8 bytes of their own. */
const SHORT_MOST = 125
const MIDDLE_MOST = 65_535

function encode(frames: readonly string[]): Buffer {
  const lengths: number[] = []
  let bytes = 0
  for (const frame of frames) {
    const length = Buffer.byteLength(frame)
    lengths.push(length)
    bytes += headBytes(length) + length
  }
  const buffer = Buffer.allocUnsafe(bytes)
  let at = 0
  for (const [index, length] of lengths.entries()) {
    buffer[at] = FINAL_TEXT
    if (length <= SHORT_MOST) buffer[at + 1] = length
    else if (length <= MIDDLE_MOST) {
      buffer[at + 1] = 126
      buffer.writeUInt16BE(length, at + 2)
    } else {
      buffer[at + 1] = 127
      buffer.writeBigUInt64BE(BigInt(length), at + 2)
    }
    at += headBytes(length)
    at += buffer.write(frames[index] ?? '', at)
  }
  return buffer
}

function headBytes(length: number): number {
  if (length <= SHORT_MOST) return 2
  return length <= MIDDLE_MOST ? 4 : 10
}
