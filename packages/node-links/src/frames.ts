// After both sides have proved who they are, they send frames over the link:
//
//   length (4 bytes)  confirmed (6 bytes)  first (6 bytes)  records (UTF-8)
//
// The length covers everything after it, and numbers are big-endian. `confirmed` is the number of the last envelope that
// the sender of this frame has taken from the other side, over either path, or 0. The records are those of the bus
// (packages/redis/SPEC.md §3), numbered from `first`. A frame without records only confirms [LINK12].

const LENGTH_BYTES = 4
const NUMBER_BYTES = 6
const HEAD_BYTES = 2 * NUMBER_BYTES
/** More than a link may hold unconfirmed. A longer frame is malformed. */
const FRAME_MOST = 64 * 1024 * 1024

export function encodeFrame(confirmed: number, first: number, records: string): Buffer {
  const length = HEAD_BYTES + Buffer.byteLength(records)
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + length)
  frame.writeUInt32BE(length, 0)
  frame.writeUIntBE(confirmed, LENGTH_BYTES, NUMBER_BYTES)
  frame.writeUIntBE(first, LENGTH_BYTES + NUMBER_BYTES, NUMBER_BYTES)
  frame.write(records, LENGTH_BYTES + HEAD_BYTES, 'utf8')
  return frame
}

export interface FrameReader {
  /** Calls `take` for each complete frame. False if a frame is malformed: then nothing after it can be read. */
  read(chunk: Buffer): boolean
}

export type TakeFrame = (confirmed: number, first: number, records: string) => void

/** Assembles frames from the chunks of a stream. */
export function frameReader(take: TakeFrame): FrameReader {
  const chunks = new Chunks()
  const read = (chunk: Buffer): boolean => {
    chunks.add(chunk)
    for (let head = chunks.peek(LENGTH_BYTES); head !== undefined; head = chunks.peek(LENGTH_BYTES)) {
      const length = head.readUInt32BE(0)
      if (length < HEAD_BYTES || length > FRAME_MOST) return false
      const frame = chunks.take(LENGTH_BYTES + length)
      if (frame === undefined) return true
      const confirmed = frame.readUIntBE(LENGTH_BYTES, NUMBER_BYTES)
      const first = frame.readUIntBE(LENGTH_BYTES + NUMBER_BYTES, NUMBER_BYTES)
      take(confirmed, first, frame.toString('utf8', LENGTH_BYTES + HEAD_BYTES))
    }
    return true
  }
  return { read }
}

/** Received bytes that are not read yet. Each byte is copied at most once, however small the chunks are. */
class Chunks {
  #chunks: Buffer[] = []
  #length = 0

  add(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#length += chunk.length
  }

  /** Returns the next bytes without removing them. Undefined if not enough have arrived. */
  peek(length: number): Buffer | undefined {
    if (this.#length < length) return undefined
    const [first] = this.#chunks
    return first !== undefined && first.length >= length ? first : this.#together()
  }

  take(length: number): Buffer | undefined {
    const bytes = this.peek(length)
    if (bytes === undefined) return undefined
    this.#length -= length
    if (bytes.length === length) this.#chunks.shift()
    else this.#chunks[0] = bytes.subarray(length)
    return bytes.length === length ? bytes : bytes.subarray(0, length)
  }

  #together(): Buffer {
    const together = Buffer.concat(this.#chunks)
    this.#chunks = [together]
    return together
  }
}
