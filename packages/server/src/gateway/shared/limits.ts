import type { Clock } from '@peerage/core'
import { isLoopback } from './address.js'
import { Backlog } from './backlog.js'

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

/** Refused messages of one connection that are still a burst, not a flood: twice this at once. The SDK holds 1,024. */
const STRIKES_PER_SECOND = 600

/** Counts what is refused on one connection; when it is empty the connection is closed. */
export function strikeBucket(now: number): TokenBucket {
  return new TokenBucket(STRIKES_PER_SECOND, now)
}

/** A description of a session is about as long; candidates are much shorter. */
export const LONG_BYTES = 4_096
/** Twice as many at once; and twice as many a second, for one is answered before each pause and one after it. */
const REFUSED_REQUESTS_PER_SECOND = 50

/**
 * Requests over a rate that are answered at once. To read, refuse and answer one costs about as much as a look-up, so
 * who goes on asking is read no faster than this.
 */
export function refusedRequestsBucket(now: number): TokenBucket {
  return new TokenBucket(REFUSED_REQUESTS_PER_SECOND, now)
}

/**
 * Whose long frame is over a rate is not read for so long after it: to read and answer one costs as much as to pass it
 * on. What more it sends waits at its own end, and costs nothing.
 */
export const OVER_PAUSE_MS = 100

/** Refusals of peers without a name that are answered at once, of one address; twice as many at once. */
const REFUSALS_PER_SECOND = 50
/** Over that rate an answer is so late: whoever waits for it before it comes again costs nothing meanwhile. */
const REFUSAL_LATE_MS = 1_000

/** So many frames may be on their way when a connection is closed; who sends more does not mean to end, and is cut. */
export const LATE_MOST = 2_000

export interface LimitValues {
  connection: {
    messagesPerSecond: number
    bytesPerSecond: number
    signalBytesPerSecond: number
    lookupsPerSecond: number
  }
  name: { messagesPerSecond: number; failuresPerMinute: number }
  address: {
    connections: number
    connectsPerSecond: number
    lookupsPerSecond: number
    failuresPerMinute: number
  }
  node: { connections: number; connectsPerSecond: number; bufferedBytes: number }
}

export type Refusal = { reason: 'rate-limited' | 'too-many' | 'overloaded'; retryAfterMs: number }

/** What is tried again after a count is over: a connection must end first, so no time is right. */
const COUNT_RETRY_MS = 5_000

/** All limits of one node, shared by its gateways. Addresses come as `Addresses.bucketOf` makes them. */
export class Limits {
  readonly values: LimitValues
  /** What waits for all peers of this node, on every wire. */
  readonly backlog: Backlog
  readonly #clock: Clock
  readonly #byAddress = new Map<string, number>()
  readonly #connects: KeyedBuckets
  readonly #lookups: KeyedBuckets
  readonly #addressFailures: KeyedBuckets
  readonly #refusals: KeyedBuckets
  readonly #nameFailures: KeyedBuckets
  readonly #wrongKeys: KeyedBuckets
  readonly #nameMessages: KeyedBuckets
  readonly #nodeConnects: TokenBucket
  #connections = 0

  constructor(values: LimitValues, clock: Clock) {
    this.values = values
    this.#clock = clock
    this.backlog = new Backlog(values.node.bufferedBytes, clock)
    this.#connects = new KeyedBuckets(values.address.connectsPerSecond, clock)
    this.#lookups = new KeyedBuckets(values.address.lookupsPerSecond, clock)
    this.#addressFailures = KeyedBuckets.perMinute(values.address.failuresPerMinute, clock)
    this.#refusals = new KeyedBuckets(REFUSALS_PER_SECOND, clock)
    this.#wrongKeys = KeyedBuckets.perMinute(values.address.failuresPerMinute, clock)
    this.#nameFailures = KeyedBuckets.perMinute(values.name.failuresPerMinute, clock)
    this.#nameMessages = new KeyedBuckets(values.name.messagesPerSecond, clock)
    this.#nodeConnects = new TokenBucket(values.node.connectsPerSecond, clock.monotonic())
  }

  /** Before a socket is accepted. Accepted ones are given back with `disconnected`. */
  connect(address: string): Refusal | undefined {
    const { node, address: per } = this.values
    if (node.connections > 0 && this.#connections >= node.connections)
      return { reason: 'overloaded', retryAfterMs: COUNT_RETRY_MS }
    const open = this.#byAddress.get(address) ?? 0
    if (per.connections > 0 && open >= per.connections && !isLoopback(address))
      return { reason: 'too-many', retryAfterMs: COUNT_RETRY_MS }
    const waitMs = isLoopback(address) ? 0 : this.#connects.take(address)
    if (waitMs > 0) return { reason: 'rate-limited', retryAfterMs: waitMs }
    const nodeWaitMs = this.#nodeConnects.take(1, this.#clock.monotonic())
    if (nodeWaitMs > 0) return { reason: 'overloaded', retryAfterMs: nodeWaitMs }
    this.#connections++
    this.#byAddress.set(address, open + 1)
    return undefined
  }

  disconnected(address: string): void {
    this.#connections--
    const open = (this.#byAddress.get(address) ?? 1) - 1
    if (open === 0) this.#byAddress.delete(address)
    else this.#byAddress.set(address, open)
  }

  /**
   * Before a claim costs anything: milliseconds until an address may try again; 0: now. This machine is not kept out:
   * behind a balancer on it everyone has its address.
   */
  failuresMs(address: string): number {
    return isLoopback(address) ? 0 : this.#addressFailures.waitMs(address)
  }

  /** Milliseconds to wait before another try to claim; 0: go on. A success costs nothing. */
  claimFailed(address: string, name: string): number {
    return Math.max(this.#addressFailures.take(address), this.#nameFailures.take(name))
  }

  /**
   * For a peer without a name that is about to be refused, for whatever reason: so many milliseconds its answer waits.
   * Nobody is kept out by it, so this machine is slowed like any other.
   */
  refusedMs(address: string): number {
    return this.#refusals.take(address) === 0 ? 0 : REFUSAL_LATE_MS
  }

  /**
   * Looks at a key that an address asks with over HTTP. Over its wrong ones the right one is not looked at either, or
   * every answer would say which it is. Apart from refused claims: an application's own paths may look like wrong keys.
   */
  tryKey(address: string, isRight: () => boolean): boolean {
    if (this.#wrongKeys.waitMs(address) > 0) return false
    if (isRight()) return true
    this.#wrongKeys.take(address)
    return false
  }

  lookups(address: string, names: number): number {
    return isLoopback(address) ? 0 : this.#lookups.take(address, names)
  }

  /** What a name may send, whichever connection it comes over: to stand beside the connection's own bucket. */
  named(peer: string): TokenBucket | undefined {
    return this.values.name.messagesPerSecond === 0 ? undefined : this.#nameMessages.bucket(peer)
  }

  get connections(): number {
    return this.#connections
  }
}
