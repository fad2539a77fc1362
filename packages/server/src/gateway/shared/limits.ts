import type { Clock } from '@peerage/core'
import type { Peer } from '@peerage/protocol'
import type { Grants } from '../../access/grants.js'
import type { AppUse } from '../../apps/budgets.js'
import type { ConnectionLimits } from '../../apps/policy.js'
import { KeyedBuckets, TokenBucket } from '../../lib/token-bucket.js'
import { isLoopback } from './address.js'
import { Backlog } from './frame-writer.js'

/** A frame above this length is long. A session description is about this long, and candidates are much shorter. */
export const LONG_BYTES = 4_096
/**
 * After a long frame over a rate, the connection is not read for this time. To read and refuse a long frame costs as
 * much as to forward it. During the pause, further frames wait at the sender and cost nothing. On wires that slow a peer
 * instead of refusing its frames [UW5], it is the shortest wait of a frame.
 */
export const OVER_PAUSE_MS = 100

/** How many refusals a second one address gets without delay, for peers without a name. Twice as many in a burst. */
const REFUSALS_PER_SECOND = 50
/** The delay of refusals over that rate. A peer that waits for its refusal before it retries costs nothing meanwhile. */
const REFUSAL_LATE_MS = 1_000

/** The limits of a node, whatever the app. The other limits are in the policy of each app. */
export interface LimitValues {
  /** For connections that have no app yet. */
  connection: ConnectionLimits
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
    // Each app has its own rates for names.
    this.#nameFailures = new KeyedBuckets(0, clock)
    this.#nameMessages = new KeyedBuckets(0, clock)
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

  /**
   * Counts a failed claim. Returns the milliseconds until the next try, 0 for now. A successful claim counts nothing.
   * `perMinute` is how many failures a minute the app allows a name.
   */
  claimFailed(address: string, name: string, perMinute: number): number {
    return Math.max(this.#addressFailures.take(address), this.#nameFailures.takePerMinute(name, perMinute))
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

  /**
   * The bucket that a connection's messages also count for: that of its name, for all its connections, whose parent is
   * the bucket of its app. A connection without a name counts for its app only.
   */
  named(peer: string | undefined, app: AppUse): TokenBucket {
    const perSecond = app.policy.limits.name.messagesPerSecond
    if (peer === undefined || perSecond === 0) return app.messages
    const bucket = this.#nameMessages.bucket(peer, { perSecond, burst: 2 * perSecond })
    bucket.parent = app.messages
    return bucket
  }

  get connections(): number {
    return this.#connections
  }
}

/** More refused messages a second than this are a flood. Twice as many are allowed at once, since the SDK holds 1,024. */
const STRIKES_PER_SECOND = 600

/** Who a connection is: its name, if its wire has names, its app, and what its access rules have granted. */
export interface Member {
  peer: Peer | undefined
  app: AppUse
  grants: Grants | undefined
}

/** How much one connection may send, on any wire. Made with its first frame, so an idle peer has none. */
export class Rates {
  /** Every frame costs one. Once the connection has been let in, the frame also counts for its name and its app. */
  readonly messages: TokenBucket
  readonly bytes: TokenBucket
  /** The bytes of handshakes. */
  readonly signals: TokenBucket
  #strikes: TokenBucket | undefined

  /** `member` is absent until the connection has been let in. */
  constructor(limits: Limits, now: number, member?: Member) {
    const own = limitsOf(limits, member)
    this.messages = new TokenBucket(own.messagesPerSecond, now)
    this.bytes = new TokenBucket(own.bytesPerSecond, now)
    this.signals = new TokenBucket(own.signalBytesPerSecond, now)
    if (member !== undefined) this.#count(limits, member)
  }

  /** The policy of the app has changed, or the grants have. What was used stays used. */
  follow(limits: Limits, now: number, member: Member): void {
    const own = limitsOf(limits, member)
    this.messages.setRate(own.messagesPerSecond, now)
    this.bytes.setRate(own.bytesPerSecond, now)
    this.signals.setRate(own.signalBytesPerSecond, now)
    this.#count(limits, member)
  }

  #count(limits: Limits, { peer, app }: Member): void {
    this.messages.parent = limits.named(peer, app)
    this.bytes.parent = app.bytes
  }

  /**
   * Counts a frame of a wire that carries almost only handshakes. Returns 0, or the milliseconds until it can be tried
   * again. Then nothing was counted. `cost`: its cost against the limit of bytes.
   */
  takeSignal(cost: number, bytes: number, now: number): number {
    const messageMs = this.messages.take(1, now)
    if (messageMs > 0) return messageMs
    const costMs = this.bytes.take(cost, now)
    const signalMs = costMs > 0 ? costMs : this.signals.take(bytes, now)
    if (signalMs === 0) return 0
    this.messages.giveBack(1)
    if (costMs === 0) this.bytes.giveBack(cost)
    return signalMs
  }

  /** Whether nothing is used any more, so that new rates would be the same. */
  isUnused(now: number): boolean {
    const own = [this.messages, this.bytes, this.signals, this.#strikes]
    return own.every((bucket) => bucket === undefined || bucket.isFull(now))
  }

  /** Counts a refused message. False: there are so many that the connection must be closed. */
  strike(now: number): boolean {
    this.#strikes ??= new TokenBucket(STRIKES_PER_SECOND, now)
    return this.#strikes.take(1, now) === 0
  }
}

/** The limits of a connection: those of its app, and where its access rules granted less, less. */
export function limitsOf(limits: Limits, member: Member | undefined): ConnectionLimits {
  const own = member?.app.policy.limits.connection ?? limits.values.connection
  const granted = member?.grants?.limits
  if (granted === undefined) return own
  return {
    messagesPerSecond: lower(own.messagesPerSecond, granted.messagesPerSecond),
    bytesPerSecond: lower(own.bytesPerSecond, granted.bytesPerSecond),
    signalBytesPerSecond: lower(own.signalBytesPerSecond, granted.bytesPerSecond),
    lookupsPerSecond: lower(own.lookupsPerSecond, granted.lookupsPerSecond),
  }
}

/** The lower of a limit, where 0 is none, and a granted one. */
function lower(own: number, granted: number | undefined): number {
  if (granted === undefined) return own
  return own === 0 ? granted : Math.min(own, granted)
}
