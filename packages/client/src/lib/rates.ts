import type { Clock } from './clock.js'

/** A token bucket: `burst` at once, then `perSecond` a second. */
export interface Rate {
  burst: number
  perSecond: number
}

/**
 * How often one other peer may cause work for this peer: a connection, a refusal or a call [PP4]. An honest peer needs
 * little.
 */
const OF_ONE: Rate = { burst: 8, perSecond: 2 }
/** The same limit for all other peers together. */
const OF_ALL: Rate = { burst: 64, perSecond: 50 }
/**
 * How often this peer calls another one. The burst is smaller by one, so that offers which arrive bunched stay within
 * the other's limit.
 */
export const OF_OWN: Rate = { ...OF_ONE, burst: OF_ONE.burst - 1 }
/** How many names we keep a bucket for. The oldest is dropped first. */
const NAMES_MAX = 256

interface Bucket extends Rate {
  left: number
  at: number
}

/**
 * One rate for each name, so that no peer can use up the share of the others, and one rate for all of them together.
 */
export class Rates {
  readonly #clock: Clock
  readonly #ofOne: Rate
  readonly #all: Bucket | null
  readonly #names = new Map<string, Bucket>()

  /** If `ofAll` is null, there is no limit for all names together. */
  constructor(clock: Clock, ofOne: Rate = OF_ONE, ofAll: Rate | null = OF_ALL) {
    this.#clock = clock
    this.#ofOne = ofOne
    this.#all = ofAll && { ...ofAll, left: ofAll.burst, at: 0 }
  }

  /** Returns false if this is over a rate. */
  take(name: string): boolean {
    return this.#take(name) === 0
  }

  /** Resolves to true when this name is within its rate, or to false as soon as `isWanted` says so. */
  async turn(name: string, isWanted: () => boolean): Promise<boolean> {
    while (isWanted()) {
      const waitMs = this.#take(name)
      if (waitMs === 0) return true
      await new Promise<void>((resolve) => this.#clock.after(waitMs, resolve))
    }
    return false
  }

  /** Returns 0 if a token was taken, else the milliseconds until there is one. */
  #take(name: string): number {
    const now = this.#clock.now()
    let one = this.#names.get(name)
    if (!one) {
      for (const oldest of this.#names.keys()) if (this.#names.size >= NAMES_MAX) this.#names.delete(oldest)
      this.#names.set(name, (one = { ...this.#ofOne, left: this.#ofOne.burst, at: now }))
    }
    return takeFrom(one, now) || (this.#all ? takeFrom(this.#all, now) : 0)
  }
}

function takeFrom(bucket: Bucket, now: number): number {
  // The system clock may be set back.
  const passed = Math.max(0, now - bucket.at) / 1_000
  bucket.left = Math.min(bucket.burst, bucket.left + passed * bucket.perSecond)
  bucket.at = now
  if (bucket.left < 1) return Math.ceil(((1 - bucket.left) / bucket.perSecond) * 1_000)
  bucket.left--
  return 0
}
