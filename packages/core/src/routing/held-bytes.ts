import type { Peer } from '@peerage/protocol'
import type { Clock } from '../lib/clock.js'

/** For one sender: four full queues, or the offers of a peer that calls eighty others at once. */
const SENDER_MOST = 4 * 1024 * 1024
/** For all peers of one node together. */
const NODE_MOST = 64 * 1024 * 1024

/**
 * Counts the bytes that were put into mailboxes lately, for each sender and for all together. A queue lasts one
 * period, so the bytes of this period and of the one before are at least those that still wait. Bytes that are taken
 * out earlier still count until their periods end.
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

  /** Counts these bytes. Returns false, and counts nothing, if they exceed a bound. */
  take(from: Peer, bytes: number): boolean {
    this.#turn()
    const own = this.#now.get(from) ?? 0
    if (own + (this.#before.get(from) ?? 0) + bytes > SENDER_MOST) return false
    if (this.#nowAll + this.#beforeAll + bytes > NODE_MOST) return false
    this.#now.set(from, own + bytes)
    this.#nowAll += bytes
    return true
  }

  /** Takes bytes off again, for a message that was not kept. */
  give(from: Peer, bytes: number): void {
    this.#turn()
    const now = Math.min(bytes, this.#now.get(from) ?? 0)
    this.#nowAll -= less(this.#now, from, now)
    // A new period may have begun since they were counted.
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

/** Takes `bytes` off what a sender has in `held`, and returns `bytes`. */
function less(held: Map<Peer, number>, from: Peer, bytes: number): number {
  const rest = (held.get(from) ?? 0) - bytes
  if (rest > 0) held.set(from, rest)
  else held.delete(from)
  return bytes
}
