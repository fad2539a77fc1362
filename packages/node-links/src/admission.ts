import type { Clock } from '@peerage/core'

/** How many connections may be without a proof at a time. */
const UNPROVEN_MOST = 64
/** How many new connections may come in each second, and at once. A handshake takes about a millisecond of a core. */
const ENTERED_PER_SECOND = 50
const ENTERED_AT_ONCE = 200
/** After this time, the full number may come in at once again. */
const REFILL_MS = (ENTERED_AT_ONCE / ENTERED_PER_SECOND) * 1_000
/** The part of each limit that one address may use. If it floods the port, the rest is left to other addresses. */
const SHARE = 0.5

/**
 * Decides which incoming connections may prove themselves [LINK10]. A refusal costs very little. A node that is
 * refused tries again later, and meanwhile sends through the inbox.
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

  /** Whether a connection from this address may prove itself. If so, the caller must call `leave` afterwards. */
  enter(address: string): boolean {
    this.#fill()
    if (this.#tokens < 1 || this.#unproven.isFull) return false
    if (!this.#unproven.hasRoom(address) || !this.#entered.hasRoom(address)) return false
    this.#tokens--
    this.#unproven.add(address)
    this.#entered.add(address)
    return true
  }

  /** Call it when a connection that entered has proved itself or ended. */
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

/** Counts connections for each address. It remembers no more addresses than it has counted. */
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
