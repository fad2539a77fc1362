import type { Clock } from '@peerage/core'
import type { Peer } from '@peerage/protocol'
import { KeyedBuckets, TokenBucket } from '../../lib/token-bucket.js'
import { isLoopback } from './address.js'
import { Backlog } from './frame-writer.js'

/** A description of a session is about as long; candidates are much shorter. */
export const LONG_BYTES = 4_096
/**
 * Whose long frame is over a rate is not read for so long after it: to read and answer one costs as much as to pass it
 * on. What more it sends waits at its own end, and costs nothing.
 */
export const OVER_PAUSE_MS = 100

/** Refusals of peers without a name that are answered at once, of one address; twice as many at once. */
const REFUSALS_PER_SECOND = 50
/** Over that rate an answer is so late: whoever waits for it before it comes again costs nothing meanwhile. */
const REFUSAL_LATE_MS = 1_000

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

/** Refused messages of one connection that are still a burst, not a flood: twice this at once. The SDK holds 1,024. */
const STRIKES_PER_SECOND = 600

/** What one connection may send on every wire. Made with its first frame: an idle peer has none. */
export class Rates {
  /** Whatever it sends counts once; where it has a name, for the name as well. */
  readonly messages: TokenBucket
  readonly bytes: TokenBucket
  /** What its handshakes say. */
  readonly signals: TokenBucket
  #strikes: TokenBucket | undefined

  constructor(limits: Limits, now: number, peer: Peer | undefined) {
    const { messagesPerSecond, bytesPerSecond, signalBytesPerSecond } = limits.values.connection
    this.messages = new TokenBucket(messagesPerSecond, now)
    if (peer !== undefined) this.messages.beside = limits.named(peer)
    this.bytes = new TokenBucket(bytesPerSecond, now)
    this.signals = new TokenBucket(signalBytesPerSecond, now)
  }

  /** Counts what was refused. False: so many are a flood, and the connection is to be closed. */
  strike(now: number): boolean {
    this.#strikes ??= new TokenBucket(STRIKES_PER_SECOND, now)
    return this.#strikes.take(1, now) === 0
  }
}
