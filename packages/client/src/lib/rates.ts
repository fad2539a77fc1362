import type { Clock } from './clock.js'

/** So many at once, and then so many a second. */
export interface Rate {
  burst: number
  perSecond: number
}

/** What others may make this peer do at its own cost: make connections, send refusals, call. An honest peer needs a few. */
const OF_ONE: Rate = { burst: 8, perSecond: 2 }
const OF_ALL: Rate = { burst: 64, perSecond: 50 }
/** What this peer offers another: one less at once, so that offers that bunch on their way are in time all the same. */
export const OF_OWN: Rate = { ...OF_ONE, burst: OF_ONE.burst - 1 }
/** Of so many names it is known what they did; the oldest is forgotten first. */
const NAMES_MAX = 256

interface Bucket extends Rate {
  left: number
  at: number
}

/** A rate for each name, so that one cannot use up what the others need, and one for all of them. */
export class Rates {
  readonly #clock: Clock
  readonly #ofOne: Rate
  readonly #all: Bucket | null
  readonly #names = new Map<string, Bucket>()

  /** `ofAll` is null where only the names are bounded. */
  constructor(clock: Clock, ofOne: Rate = OF_ONE, ofAll: Rate | null = OF_ALL) {
    this.#clock = clock
    this.#ofOne = ofOne
    this.#all = ofAll && { ...ofAll, left: ofAll.burst, at: 0 }
  }

  /** False: over a rate. */
  take(name: string): boolean {
    return this.#take(name) === 0
  }

  /** Resolves to true when there is room for this name, or to false: nobody wants that any more. */
  async turn(name: string, isWanted: () => boolean): Promise<boolean> {
    while (isWanted()) {
      const waitMs = this.#take(name)
      if (waitMs === 0) return true
      await new Promise<void>((resolve) => this.#clock.after(waitMs, resolve))
    }
    return false
  }

  /** Milliseconds until there is room; 0: there was, and it is taken. */
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
  // The time of day may jump back.
  const passed = Math.max(0, now - bucket.at) / 1_000
  bucket.left = Math.min(bucket.burst, bucket.left + passed * bucket.perSecond)
  bucket.at = now
  if (bucket.left < 1) return Math.ceil(((1 - bucket.left) / bucket.perSecond) * 1_000)
  bucket.left--
  return 0
}
