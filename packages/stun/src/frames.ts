// STUN over TCP (RFC 8489 §6.2.2): messages follow one another, and each is as long as its header says.
import { MAGIC_COOKIE } from './attributes.js'
import { HEADER_BYTES } from './message.js'

/** Cuts a byte stream into messages, however its reads are split or joined. It holds less than one message. */
export class Frames {
  readonly #maxBytes: number
  #rest: Buffer = Buffer.alloc(0)

  /** A message longer than `maxBytes`, header included, breaks the stream. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** How many bytes of an incomplete message it holds. */
  get held(): number {
    return this.#rest.length
  }

  /**
   * Takes one read and calls `take` with each message that it completes. False if the stream is not STUN: then no
   * next message can be found, and the caller must close the connection. The messages are views of the read.
   */
  push(read: Buffer, take: (message: Buffer) => void): boolean {
    const bytes = this.#rest.length === 0 ? read : Buffer.concat([this.#rest, read])
    let at = 0
    while (at < bytes.length) {
      const length = this.#lengthAt(bytes, at)
      if (length === 'broken') return false
      if (length === 'unknown' || at + length > bytes.length) break
      take(bytes.subarray(at, at + length))
      at += length
    }
    // A copy, because a view of a few bytes would keep the whole read in memory.
    this.#rest = Buffer.from(bytes.subarray(at))
    return true
  }

  /** The message's length, or `broken` as soon as the first bytes show that the stream is not STUN. */
  #lengthAt(bytes: Buffer, at: number): number | 'unknown' | 'broken' {
    const available = bytes.length - at
    if (bytes.readUInt8(at) > 0x3f) return 'broken'
    if (available >= 8 && bytes.readUInt32BE(at + 4) !== MAGIC_COOKIE) return 'broken'
    if (available < 4) return 'unknown'
    const length = HEADER_BYTES + bytes.readUInt16BE(at + 2)
    return length % 4 !== 0 || length > this.#maxBytes ? 'broken' : length
  }
}
