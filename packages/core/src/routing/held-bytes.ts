import type { Peer } from '@peerage/protocol'
import type { Clock } from '../lib/clock.js'

/** Four full queues, or the offers of a peer that calls eighty others at once. */
const SENDER_MOST = 4 * 1024 * 1024
/** What one node may have wait in the store, for all its peers. */
const NODE_MOST = 64 * 1024 * 1024

/**
 * What was given to the mailbox lately, in bytes, of one sender and of all. A queue lasts one period, so what this and
 * the period before gave is at least what still waits; taken early, it counts on until then.
 */
export class HeldBytes {
  readonly #clock: Clock
  readonly #periodMs: number
  #begunAt: number
  #now = new Map<Peer, number>()
  #before = new Map<Peer, number>()
  #nowAll = 0
  #beforeAll = 0

  constructor(clock: Clock, periodMs: number) {
    this.#clock = clock
    this.#periodMs = periodMs
    this.#begunAt = clock.monotonic()
  }

  /** False: over a bound, and not counted. */
  take(from: Peer, bytes: number): boolean {
    this.#turn()
    const own = this.#now.get(from) ?? 0
    if (own + (this.#before.get(from) ?? 0) + bytes > SENDER_MOST) return false
    if (this.#nowAll + this.#beforeAll + bytes > NODE_MOST) return false
    this.#now.set(from, own + bytes)
    this.#nowAll += bytes
    return true
  }

  /** Gives back what was taken for something that was not kept. */
  give(from: Peer, bytes: number): void {
    this.#turn()
    const now = Math.min(bytes, this.#now.get(from) ?? 0)
    this.#nowAll -= less(this.#now, from, now)
    // The period may have turned since it was taken.
    this.#beforeAll -= less(this.#before, from, Math.min(bytes - now, this.#before.get(from) ?? 0))
  }

  #turn(): void {
    const passedMs = this.#clock.monotonic() - this.#begunAt
    if (passedMs < this.#periodMs) return
    const next = passedMs < 2 * this.#periodMs
    this.#before = next ? this.#now : new Map()
    this.#beforeAll = next ? this.#nowAll : 0
    this.#now = new Map()
    this.#nowAll = 0
    this.#begunAt = this.#clock.monotonic()
  }
}

/** Takes so many of a sender's bytes out, and returns how many. */
function less(held: Map<Peer, number>, from: Peer, bytes: number): number {
  const rest = (held.get(from) ?? 0) - bytes
  if (rest > 0) held.set(from, rest)
  else held.delete(from)
  return bytes
}
