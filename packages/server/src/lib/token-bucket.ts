import type { Clock } from '@peerage/core'

/**
 * A token bucket. It lets through `perSecond` on average and `burst` at once, but at least one. 0 a second means no limit.
 * We have our own because every message asks it, so it must cost neither a promise nor a timer.
 */
export class TokenBucket {
  readonly #perSecond: number
  readonly #max: number
  readonly #whole: boolean
  #tokens: number
  #at: number

  /** `whole`: a cost above the bucket's size counts in full, and the next request waits until all of it is paid. */
  constructor(perSecond: number, now: number, { burst = 2 * perSecond, whole = false } = {}) {
    this.#perSecond = perSecond
    this.#whole = whole
    this.#max = Math.max(1, burst)
    this.#tokens = this.#max
    this.#at = now
  }

  /** A second bucket that pays the same costs: a connection's messages also count for its name. */
  parent: TokenBucket | undefined

  /** Returns 0 when the cost was taken, else the milliseconds until it could be. */
  take(cost: number, now: number): number {
    const parentMs = this.parent === undefined ? 0 : this.parent.take(cost, now)
    return Math.max(parentMs, this.#take(cost, now))
  }

  /** Gives back a cost that was taken for something free. */
  giveBack(cost: number): void {
    this.parent?.giveBack(cost)
    this.#tokens = Math.min(this.#max, this.#tokens + cost)
  }

  #take(wanted: number, now: number): number {
    if (this.#perSecond === 0) return 0
    // A cost above the bucket's size takes the whole bucket, because it must be possible at some time.
    const cost = Math.min(wanted, this.#max)
    const waitMs = this.#wait(cost, now)
    if (waitMs === 0) this.#tokens -= this.#whole ? wanted : cost
    return waitMs
  }

  #wait(cost: number, now: number): number {
    this.#tokens = Math.min(this.#max, this.#tokens + ((now - this.#at) / 1_000) * this.#perSecond)
    this.#at = now
    return this.#tokens >= cost ? 0 : Math.ceil(((cost - this.#tokens) / this.#perSecond) * 1_000)
  }

  /** Milliseconds until a cost of one could be taken. */
  waitMs(now: number): number {
    return this.#perSecond === 0 ? 0 : this.#wait(1, now)
  }

  /** Whether the bucket is full, so that forgetting it changes nothing. */
  isFull(now: number): boolean {
    return this.#tokens + ((now - this.#at) / 1_000) * this.#perSecond >= this.#max
  }
}

/** One bucket per key. Full buckets are forgotten, so only keys that were busy within the time to fill a bucket remain. */
export class KeyedBuckets {
  readonly #perSecond: number
  readonly #clock: Clock
  readonly #burst: number
  readonly #max: number
  readonly #buckets = new Map<string, TokenBucket>()

  constructor(perSecond: number, clock: Clock, { burst = 2 * perSecond, max = 100_000 } = {}) {
    this.#perSecond = perSecond
    this.#clock = clock
    this.#burst = burst
    this.#max = max
  }

  /** Allows the rate of a whole minute at once, because rare events come in bursts. */
  static perMinute(rate: number, clock: Clock): KeyedBuckets {
    return new KeyedBuckets(rate / 60, clock, { burst: rate })
  }

  take(key: string, cost = 1): number {
    if (this.#perSecond === 0) return 0
    return this.bucket(key).take(cost, this.#clock.monotonic())
  }

  /** Milliseconds until a cost of one could be taken. Asking does not create a bucket. */
  waitMs(key: string): number {
    return this.#buckets.get(key)?.waitMs(this.#clock.monotonic()) ?? 0
  }

  bucket(key: string): TokenBucket {
    const now = this.#clock.monotonic()
    let bucket = this.#buckets.get(key)
    if (bucket === undefined) {
      if (this.#buckets.size >= this.#max) this.#sweep(now)
      bucket = new TokenBucket(this.#perSecond, now, { burst: this.#burst })
      this.#buckets.set(key, bucket)
    }
    return bucket
  }

  /** Drops full buckets, and the oldest if all are busy, so that a flood of addresses costs no memory. */
  #sweep(now: number): void {
    for (const [key, bucket] of this.#buckets) if (bucket.isFull(now)) this.#buckets.delete(key)
    for (const key of this.#buckets.keys()) {
      if (this.#buckets.size < this.#max) return
      this.#buckets.delete(key)
    }
  }

  get size(): number {
    return this.#buckets.size
  }
}
