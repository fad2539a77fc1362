import type { Clock } from '@peerage/core'

/**
 * A token bucket: `perSecond` on average, `burst` and at least one at once. Our own, since it is asked for every message
 * and must cost neither a promise nor a timer. 0 a second is no limit.
 */
export class TokenBucket {
  readonly #perSecond: number
  readonly #most: number
  readonly #whole: boolean
  #tokens: number
  #at: number

  /** `whole`: what is larger than the bucket counts in full, and the next waits for all of it. */
  constructor(perSecond: number, now: number, { burst = 2 * perSecond, whole = false } = {}) {
    this.#perSecond = perSecond
    this.#whole = whole
    this.#most = Math.max(1, burst)
    this.#tokens = this.#most
    this.#at = now
  }

  /** Another bucket that the same things are taken from: a connection's messages are also its name's. */
  beside: TokenBucket | undefined

  /** 0: taken. Else how many milliseconds until it could be. */
  take(cost: number, now: number): number {
    const besideMs = this.beside === undefined ? 0 : this.beside.take(cost, now)
    return Math.max(besideMs, this.#take(cost, now))
  }

  /** Gives back what was taken for something that turned out to be free. */
  give(cost: number): void {
    this.beside?.give(cost)
    this.#tokens = Math.min(this.#most, this.#tokens + cost)
  }

  #take(wanted: number, now: number): number {
    if (this.#perSecond === 0) return 0
    // What is larger than the bucket takes all of it: it must be possible at some time.
    const cost = Math.min(wanted, this.#most)
    const waitMs = this.#wait(cost, now)
    if (waitMs === 0) this.#tokens -= this.#whole ? wanted : cost
    return waitMs
  }

  #wait(cost: number, now: number): number {
    this.#tokens = Math.min(this.#most, this.#tokens + ((now - this.#at) / 1_000) * this.#perSecond)
    this.#at = now
    return this.#tokens >= cost ? 0 : Math.ceil(((cost - this.#tokens) / this.#perSecond) * 1_000)
  }

  /** Milliseconds until one could be taken. */
  waitMs(now: number): number {
    return this.#perSecond === 0 ? 0 : this.#wait(1, now)
  }

  /** Whether nothing would be lost by forgetting it. */
  isFull(now: number): boolean {
    return this.#tokens + ((now - this.#at) / 1_000) * this.#perSecond >= this.#most
  }
}

/** Buckets by key, forgotten when full: bounded by those who were busy within the time that a bucket takes to fill. */
export class KeyedBuckets {
  readonly #perSecond: number
  readonly #clock: Clock
  readonly #burst: number
  readonly #most: number
  readonly #buckets = new Map<string, TokenBucket>()

  constructor(perSecond: number, clock: Clock, { burst = 2 * perSecond, most = 100_000 } = {}) {
    this.#perSecond = perSecond
    this.#clock = clock
    this.#burst = burst
    this.#most = most
  }

  /** A minute's worth at once: what is rare comes in heaps. */
  static perMinute(rate: number, clock: Clock): KeyedBuckets {
    return new KeyedBuckets(rate / 60, clock, { burst: rate })
  }

  take(key: string, cost = 1): number {
    if (this.#perSecond === 0) return 0
    return this.bucket(key).take(cost, this.#clock.monotonic())
  }

  /** Milliseconds until one could be taken; nobody is remembered for the asking. */
  waitMs(key: string): number {
    return this.#buckets.get(key)?.waitMs(this.#clock.monotonic()) ?? 0
  }

  bucket(key: string): TokenBucket {
    const now = this.#clock.monotonic()
    let bucket = this.#buckets.get(key)
    if (bucket === undefined) {
      if (this.#buckets.size >= this.#most) this.#sweep(now)
      bucket = new TokenBucket(this.#perSecond, now, { burst: this.#burst })
      this.#buckets.set(key, bucket)
    }
    return bucket
  }

  /** Drops what is full again; if all are busy, the oldest: a flood of addresses must not cost memory. */
  #sweep(now: number): void {
    for (const [key, bucket] of this.#buckets) if (bucket.isFull(now)) this.#buckets.delete(key)
    for (const key of this.#buckets.keys()) {
      if (this.#buckets.size < this.#most) return
      this.#buckets.delete(key)
    }
  }

  get size(): number {
    return this.#buckets.size
  }
}
