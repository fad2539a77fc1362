import type { Socket } from 'node:net'
import type { Random } from './random.js'

/**
 * The treatment of one direction of every connection:
 * - `flow`: bytes pass after the delay.
 * - `hold`: nothing is read, as if packets are lost on the wire. The sender's buffers fill, and held bytes pass later, as
 *   TCP's retransmissions would bring them.
 * - `drop`: bytes and closes are read and discarded while both sockets stay open: a half-open connection.
 */
export type Mode = 'flow' | 'hold' | 'drop'

/** Shared by all connections in one direction, and may change at any time. */
export interface Rules {
  mode: Mode
  delayMs: number
  /** The largest random addition to the delay. The order of bytes stays. */
  jitterMs: number
}

type Piece = { kind: 'bytes'; bytes: Buffer; due: number } | { kind: 'end'; due: number }

// A delayed pipe buffers this much, and then stops reading the source, like a real network with back-pressure.
const MAX_WAITING_BYTES = 4 * 1024 * 1024

/** One direction of one connection. */
export class Pipe {
  /** Bytes that came in, with those that were dropped. */
  bytes = 0
  /** Whether bytes are missing from the stream, so that it can never be complete again. */
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

  /** Applies the rules again. Call it when they have changed. */
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
