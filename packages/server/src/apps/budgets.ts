import type { Clock } from '@peerage/core'
import type { App } from '@peerage/protocol'
import type { GatewayMetrics } from '../gateway/shared/events.js'
import { TokenBucket } from '../lib/token-bucket.js'
import type { AppPolicies, AppPolicy } from './policy.js'

/** The retry time when an app has all its connections. One of them must end first, so no time is exact. */
const COUNT_RETRY_MS = 5_000
/**
 * A room message to this many members costs a node as much as one message between two peers. Measured at the full rate,
 * either takes 0.3 of a core (about 25 microseconds a member, 280 a message).
 */
export const MEMBERS_PER_MESSAGE = 10
/** Apps that nobody uses are forgotten from this number on. Peers may name any app where none is listed. */
const MOST_IDLE = 1_000

type AppMetrics = Pick<GatewayMetrics, 'appRouted'>

/** One app on this node: its policy, and what all its connections use. Connections share one object. */
export class AppUse {
  readonly app: App
  /** All messages and requests of the app. The buckets of its connections and names have it as their parent. */
  readonly messages: TokenBucket
  readonly bytes: TokenBucket
  /** Room messages, one for each member that gets it. */
  readonly said: TokenBucket
  readonly connects: TokenBucket
  readonly #metrics: AppMetrics
  #policy: AppPolicy
  #isServed = true
  #connections = 0

  constructor(policy: AppPolicy, now: number, metrics: AppMetrics) {
    const { messagesPerSecond, bytesPerSecond, connectsPerSecond } = policy.limits.app
    this.app = policy.app
    this.#policy = policy
    this.#metrics = metrics
    this.messages = new TokenBucket(messagesPerSecond, now)
    this.bytes = new TokenBucket(bytesPerSecond, now)
    this.said = new TokenBucket(MEMBERS_PER_MESSAGE * messagesPerSecond, now, { whole: true })
    this.connects = new TokenBucket(connectsPerSecond, now)
  }

  /** The policy now. After the app has been removed, its last one. */
  get policy(): AppPolicy {
    return this.#policy
  }

  /** False from when a reload has removed the app. */
  get isServed(): boolean {
    return this.#isServed
  }

  get connections(): number {
    return this.#connections
  }

  /** A message or request of a peer of this app was taken, or refused. */
  count(isOk: boolean): void {
    this.#metrics.appRouted(this.#policy.label, isOk)
  }

  /** Takes room for one connection. Returns 0, or the milliseconds after which there may be room. */
  enter(): number {
    const { connections } = this.#policy.limits.app
    if (connections > 0 && this.#connections >= connections) return COUNT_RETRY_MS
    this.#connections++
    return 0
  }

  left(): void {
    this.#connections--
  }

  /** A reload made a new policy, or none. What was used stays used. */
  follow(policy: AppPolicy | undefined, now: number): void {
    this.#isServed = policy !== undefined
    if (policy === undefined || policy === this.#policy) return
    const { messagesPerSecond, bytesPerSecond, connectsPerSecond } = policy.limits.app
    this.messages.setRate(messagesPerSecond, now)
    this.bytes.setRate(bytesPerSecond, now)
    this.said.setRate(MEMBERS_PER_MESSAGE * messagesPerSecond, now)
    this.connects.setRate(connectsPerSecond, now)
    this.#policy = policy
  }
}

/** What each app uses of this node. All gateways share it. */
export class AppBudgets {
  readonly #policies: Pick<AppPolicies, 'of'>
  readonly #clock: Clock
  readonly #metrics: AppMetrics
  readonly #uses = new Map<App, AppUse>()
  #sweepAt = MOST_IDLE

  constructor(policies: Pick<AppPolicies, 'of'>, clock: Clock, metrics: AppMetrics) {
    this.#policies = policies
    this.#clock = clock
    this.#metrics = metrics
  }

  /** Undefined if this node does not serve the app. */
  of(app: App): AppUse | undefined {
    const policy = this.#policies.of(app)
    if (policy === undefined) return undefined
    const now = this.#clock.monotonic()
    const known = this.#uses.get(app)
    if (known !== undefined) {
      known.follow(policy, now)
      return known
    }
    if (this.#uses.size >= this.#sweepAt) this.#sweep()
    const use = new AppUse(policy, now, this.#metrics)
    this.#uses.set(app, use)
    return use
  }

  /** Looks up every policy again, after a reload. */
  refresh(): void {
    const now = this.#clock.monotonic()
    for (const [app, use] of this.#uses) {
      use.follow(this.#policies.of(app), now)
      if (!use.isServed && use.connections === 0) this.#uses.delete(app)
    }
  }

  /** Forgets apps without connections whose budgets are unlimited, so that forgetting them changes nothing. */
  #sweep(): void {
    for (const [app, { connections, policy }] of this.#uses)
      if (connections === 0 && Object.values(policy.limits.app).every((most) => most === 0))
        this.#uses.delete(app)
    this.#sweepAt = Math.max(MOST_IDLE, 2 * this.#uses.size)
  }
}
