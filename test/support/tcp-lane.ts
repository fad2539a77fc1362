import type { Socket } from 'node:net'
import type { Random } from './random.js'

/**
 * What happens to one direction of every connection:
 * - `flow`: bytes go on, after the delay.
 * - `hold`: nothing is read, as when packets are lost on the wire: the sender's buffers fill, and what was
 *   held goes on later, as TCP's resends would bring it.
 * - `drop`: bytes and closes are read and forgotten while both sockets stay: a half-open connection.
 */
export type Mode = 'flow' | 'hold' | 'drop'

/** Shared by all lanes of a direction, and changed while they run. */
export interface Rules {
  mode: Mode
  delayMs: number
  /** Up to this much more, by chance; the order stays. */
  jitterMs: number
}

type Piece = { kind: 'bytes'; bytes: Buffer; due: number } | { kind: 'end'; due: number }

// What may wait in a delayed lane before the source is no longer read, as a real link would push back.
const MAX_WAITING_BYTES = 4 * 1024 * 1024

/** One direction of one connection. */
export class Lane {
  /** Bytes that came in; those dropped are among them. */
  bytes = 0
  /** Whether bytes are missing from the stream, so that it can never be whole again. */
  broken = false
  #waiting: Piece[] = []
  #waitingBytes = 0
  #timer: NodeJS.Timeout | undefined
  #full = false

  readonly #source: Socket
  readonly #sink: Socket
  readonly #rules: Rules
  readonly #random: Random

  constructor(source: Socket, sink: Socket, rules: Rules, random: Random) {
    this.#source = source
    this.#sink = sink
    this.#rules = rules
    this.#random = random
    source.on('data', (bytes: Buffer) => this.#take({ kind: 'bytes', bytes, due: this.#due() }))
    source.on('end', () => this.#take({ kind: 'end', due: this.#due() }))
    sink.on('drain', () => {
      this.#full = false
      this.update()
    })
    this.update()
  }

  /** Looks at the rules again; call it when they have changed. */
  update(): void {
    const { mode } = this.#rules
    if (mode === 'drop') this.#forget()
    if (mode === 'flow') this.#pass()
    const tooMuch = this.#full || this.#waitingBytes > MAX_WAITING_BYTES
    if (mode === 'hold' || (mode === 'flow' && tooMuch)) this.#source.pause()
    else this.#source.resume()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#waiting = []
  }

  #take(piece: Piece): void {
    if (piece.kind === 'bytes') this.bytes += piece.bytes.length
    this.#waiting.push(piece)
    if (piece.kind === 'bytes') this.#waitingBytes += piece.bytes.length
    this.update()
  }

  #due(): number {
    const earliest = this.#waiting.at(-1)?.due ?? 0
    return Math.max(
      earliest,
      performance.now() + this.#rules.delayMs + this.#random.next() * this.#rules.jitterMs,
    )
  }

  #forget(): void {
    if (this.#waiting.length > 0) this.broken = true
    this.#waiting = []
    this.#waitingBytes = 0
  }

  #pass(): void {
    clearTimeout(this.#timer)
    for (let piece = this.#waiting[0]; piece !== undefined && !this.#full; piece = this.#waiting[0]) {
      const left = piece.due - performance.now()
      if (left > 0) {
        this.#timer = setTimeout(() => this.update(), Math.ceil(left))
        return
      }
      this.#waiting.shift()
      this.#write(piece)
    }
  }

  #write(piece: Piece): void {
    if (!this.#sink.writable) return
    if (piece.kind === 'end') {
      this.#sink.end()
      return
    }
    this.#waitingBytes -= piece.bytes.length
    this.#full = !this.#sink.write(piece.bytes)
  }
}
