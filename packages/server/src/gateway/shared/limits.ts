import type { Clock } from '@peerage/core'
import type { Peer } from '@peerage/protocol'
import { KeyedBuckets, TokenBucket } from '../../lib/token-bucket.js'
import { isLoopback } from './address.js'
import { Backlog } from './frame-writer.js'

/** A frame above this length is long. A session description is about this long, and candidates are much shorter. */
export const LONG_BYTES = 4_096
/**
 * After a long frame over a rate, the connection is not read for this time. To read and refuse a long frame costs as
 * much as to forward it. During the pause, further frames wait at the sender and cost nothing.
 */
export const OVER_PAUSE_MS = 100

/** How many refusals a second one address gets without delay, for peers without a name. Twice as many in a burst. */
const REFUSALS_PER_SECOND = 50
/** The delay of refusals over that rate. A peer that waits for its refusal before it retries costs nothing meanwhile. */
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

/** The retry time when a count of connections is at its limit. A connection must end first, so no time is exact. */
const COUNT_RETRY_MS = 5_000

/** All limits of one node, shared by its gateways. Every address is a result of `Addresses.bucketOf`. */
export class Limits {
  readonly values: LimitValues
  /** The bytes that wait for all peers of this node, on every wire. */
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

  /** Asked before a socket is accepted. `disconnected` gives an accepted one back. */
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
   * Milliseconds until an address may try to claim again, 0 for now. Asked before the claim costs anything. Loopback is
   * never kept out, because all peers have this address behind a balancer on this machine.
   */
  failuresMs(address: string): number {
    return isLoopback(address) ? 0 : this.#addressFailures.waitMs(address)
  }

  /** Counts a failed claim. Returns the milliseconds until the next try, 0 for now. A successful claim counts nothing. */
  claimFailed(address: string, name: string): number {
    return Math.max(this.#addressFailures.take(address), this.#nameFailures.take(name))
  }

  /**
   * Counts a refusal of a peer without a name, for any reason. Returns by how many milliseconds to delay the answer. The
   * delay keeps nobody out, so it applies to loopback too.
   */
  refusedMs(address: string): number {
    return this.#refusals.take(address) === 0 ? 0 : REFUSAL_LATE_MS
  }

  /**
   * Checks a key from an HTTP request. After too many wrong keys from an address, a right key is refused too, because
   * otherwise the answers would reveal it. Refused claims are counted apart, because paths of an application may look like
   * wrong keys.
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

  /** The bucket of a name, for all its connections. It becomes the parent of each connection's own bucket. */
  named(peer: string): TokenBucket | undefined {
    return this.values.name.messagesPerSecond === 0 ? undefined : this.#nameMessages.bucket(peer)
  }

  get connections(): number {
    return this.#connections
  }
}

/** More refused messages a second than this are a flood. Twice as many are allowed at once, since the SDK holds 1,024. */
const STRIKES_PER_SECOND = 600

/** How much one connection may send, on any wire. Made with its first frame, so an idle peer has none. */
export class Rates {
  /** Every frame costs one. When the connection has a name, the frame also counts for the name. */
  readonly messages: TokenBucket
  readonly bytes: TokenBucket
  /** The bytes of handshakes. */
  readonly signals: TokenBucket
  #strikes: TokenBucket | undefined

  constructor(limits: Limits, now: number, peer: Peer | undefined) {
    const { messagesPerSecond, bytesPerSecond, signalBytesPerSecond } = limits.values.connection
    this.messages = new TokenBucket(messagesPerSecond, now)
    if (peer !== undefined) this.messages.parent = limits.named(peer)
    this.bytes = new TokenBucket(bytesPerSecond, now)
    this.signals = new TokenBucket(signalBytesPerSecond, now)
  }

  /** Counts a refused message. False: there are so many that the connection must be closed. */
  strike(now: number): boolean {
    this.#strikes ??= new TokenBucket(STRIKES_PER_SECOND, now)
    return this.#strikes.take(1, now) === 0
  }
}
