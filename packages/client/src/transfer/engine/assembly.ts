import { PIECES_MAX } from './limits.js'

/** One block of which parts have come. The parts may come in any order, and more than once. */
export class Assembly {
  readonly size: number
  /** Payload bytes that came for it and count as held. */
  held = 0
  hash: Uint8Array<ArrayBuffer> | undefined
  #bytes: Uint8Array<ArrayBuffer> | undefined
  /** What is there, sorted and never adjacent. */
  #pieces: { start: number; end: number }[] = []

  constructor(size: number) {
    this.size = size
  }

  /** Copies a part to its place. False: the block is in too many pieces, as no honest sender sends it. */
  add(offset: number, part: Uint8Array): boolean {
    this.held += part.length
    this.#bytes ??= new Uint8Array(this.size)
    this.#bytes.set(part, offset)
    const piece = { start: offset, end: offset + part.length }
    const last = this.#pieces.at(-1)
    if (last?.end === offset) last.end = piece.end
    else this.#merge(piece)
    return this.#pieces.length <= PIECES_MAX
  }

  /** The block, if all of it is there. */
  get whole(): { bytes: Uint8Array<ArrayBuffer>; hash: Uint8Array<ArrayBuffer> } | undefined {
    const [first] = this.#pieces
    if (this.#bytes === undefined || this.hash === undefined) return undefined
    if (first?.start !== 0 || first.end !== this.size) return undefined
    return { bytes: this.#bytes, hash: this.hash }
  }

  #merge(piece: { start: number; end: number }): void {
    const apart = this.#pieces.filter(({ start, end }) => end < piece.start || start > piece.end)
    for (const { start, end } of this.#pieces)
      if (end >= piece.start && start <= piece.end) {
        piece.start = Math.min(piece.start, start)
        piece.end = Math.max(piece.end, end)
      }
    this.#pieces = [...apart, piece].sort((a, b) => a.start - b.start)
  }
}
