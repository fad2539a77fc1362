import type { Clock } from '@peerage/core'

/** Connections without a proof that there may be at once. */
const UNPROVEN_MOST = 64
/** New connections a second, and at once: a handshake takes about a millisecond of a core. */
const ENTERED_PER_SECOND = 50
const ENTERED_AT_ONCE = 200
/** How long it takes until as many may come in at once again. */
const REFILL_MS = (ENTERED_AT_ONCE / ENTERED_PER_SECOND) * 1_000
/** Of each limit one address has this part: who floods the port from there leaves the rest to the others. */
const SHARE = 0.5

/**
 * Which connections may come in and be proven. Whoever is refused here costs next to nothing; a node that is refused tries
 * again later, and what it sends goes through the inbox meanwhile.
 */
export class Admission {
  readonly #clock: Clock
  readonly #unproven = new Shares(UNPROVEN_MOST)
  #entered = new Shares(ENTERED_AT_ONCE)
  #enteredFrom = 0
  #tokens = ENTERED_AT_ONCE
  #filledAt = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** True: it may be proven, and must leave when that is over. */
  enter(address: string): boolean {
    this.#fill()
    if (this.#tokens < 1 || this.#unproven.isFull) return false
    if (!this.#unproven.hasRoom(address) || !this.#entered.hasRoom(address)) return false
    this.#tokens--
    this.#unproven.add(address)
    this.#entered.add(address)
    return true
  }

  /** It is proven or gone. */
  leave(address: string): void {
    this.#unproven.remove(address)
  }

  #fill(): void {
    const now = this.#clock.monotonic()
    const filled = this.#tokens + ((now - this.#filledAt) * ENTERED_PER_SECOND) / 1_000
    this.#tokens = Math.min(ENTERED_AT_ONCE, filled)
    this.#filledAt = now
    if (now - this.#enteredFrom < REFILL_MS) return
    this.#enteredFrom = now
    this.#entered = new Shares(ENTERED_AT_ONCE)
  }
}

/** How many there are of each address. It remembers no more addresses than were counted. */
class Shares {
  readonly #most: number
  readonly #counts = new Map<string, number>()
  #all = 0

  constructor(most: number) {
    this.#most = most
  }

  get isFull(): boolean {
    return this.#all >= this.#most
  }

  hasRoom(address: string): boolean {
    return this.#of(address) < this.#most * SHARE
  }

  add(address: string): void {
    this.#all++
    this.#counts.set(address, this.#of(address) + 1)
  }

  remove(address: string): void {
    this.#all--
    const left = this.#of(address) - 1
    if (left > 0) this.#counts.set(address, left)
    else this.#counts.delete(address)
  }

  #of(address: string): number {
    return this.#counts.get(address) ?? 0
  }
}
