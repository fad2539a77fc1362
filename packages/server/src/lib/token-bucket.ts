import type { Clock } from '@peerage/core'

/**
 * A token bucket. It lets through `perSecond` on average and `burst` at once, but at least one. 0 a second means no limit.
 * We have our own because every message asks it, so it must cost neither a promise nor a timer.
 */
export class TokenBucket {
  #perSecond: number
  #max: number
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

  /**
   * Returns 0 when the cost was taken, else the milliseconds until it could be. What the bucket itself refuses costs its
   * parent nothing, so that a flood of one connection leaves the others of its app their share.
   */
  take(cost: number, now: number): number {
    const ownMs = this.#take(cost, now)
    if (ownMs > 0 || this.parent === undefined) return ownMs
    const parentMs = this.parent.take(cost, now)
    if (parentMs > 0) this.#giveBack(cost)
    return parentMs
  }

  /** Changes the rate. What was taken stays taken. */
  setRate(perSecond: number, now: number, burst = 2 * perSecond): void {
    const max = Math.max(1, burst)
    if (perSecond === this.#perSecond && max === this.#max) return
    // Without a limit nothing was taken.
    if (this.#perSecond === 0) this.#tokens = max
    else this.#wait(0, now)
    this.#at = now
    this.#perSecond = perSecond
    this.#max = max
    this.#tokens = Math.min(this.#tokens, max)
  }

  /** Gives back a cost that was taken for something free. */
  giveBack(cost: number): void {
    this.parent?.giveBack(cost)
    this.#giveBack(cost)
  }

  #giveBack(wanted: number): void {
    const cost = this.#whole ? wanted : Math.min(wanted, this.#max)
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

interface Rate {
  perSecond: number
  burst: number
}

/** One bucket per key. Full buckets are forgotten, so only keys that were busy within the time to fill a bucket remain. */
export class KeyedBuckets {
  readonly #rate: Rate
  readonly #clock: Clock
  readonly #max: number
  readonly #buckets = new Map<string, TokenBucket>()

  constructor(perSecond: number, clock: Clock, { burst = 2 * perSecond, max = 100_000 } = {}) {
    this.#rate = { perSecond, burst }
    this.#clock = clock
    this.#max = max
  }

  /** Allows the rate of a whole minute at once, because rare events come in bursts. */
  static perMinute(rate: number, clock: Clock): KeyedBuckets {
    return new KeyedBuckets(rate / 60, clock, { burst: rate })
  }

  /** `rate`: that of this key, if it differs from the others. */
  take(key: string, cost = 1, rate = this.#rate): number {
    if (rate.perSecond === 0) return 0
    return this.bucket(key, rate).take(cost, this.#clock.monotonic())
  }

  /** As `take`, at a rate for each minute of this key. */
  takePerMinute(key: string, perMinute: number): number {
    return this.take(key, 1, { perSecond: perMinute / 60, burst: perMinute })
  }

  /** Milliseconds until a cost of one could be taken. Asking does not create a bucket. */
  waitMs(key: string): number {
    return this.#buckets.get(key)?.waitMs(this.#clock.monotonic()) ?? 0
  }

  bucket(key: string, { perSecond, burst }: Rate = this.#rate): TokenBucket {
    const now = this.#clock.monotonic()
    let bucket = this.#buckets.get(key)
    if (bucket === undefined) {
      if (this.#buckets.size >= this.#max) this.#sweep(now)
      bucket = new TokenBucket(perSecond, now, { burst })
      this.#buckets.set(key, bucket)
    } else bucket.setRate(perSecond, now, burst)
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
