import { limits as wireLimits } from '@peerage/protocol'
import { MEMBERS_PER_MESSAGE } from '../../apps/budgets.js'
import type { AppPolicy } from '../../apps/policy.js'
import { TokenBucket } from '../../lib/token-bucket.js'
import type { Limits, Member } from '../shared/limits.js'
import { limitsOf } from '../shared/limits.js'

/**
 * A join is answered with a page of members, and a renewal checks a token, so both have a rate. A connection can join all
 * its rooms twice at once, then all of them once a second.
 */
const JOINS_PER_SECOND = wireLimits.rooms
/**
 * How many refused requests are answered without a pause. Twice as many are at once, and up to twice as many a second,
 * because one is answered before each pause and one after it. To refuse a request costs about as much as a lookup, so a
 * peer that goes on asking is read no faster than this.
 */
const REFUSED_REQUESTS_PER_SECOND = 50

/** The rates of one connection that only the native wire has. */
export class NativeRates {
  /** The policy that the rates follow. */
  policy: AppPolicy | undefined
  readonly lookups: TokenBucket
  /** Bytes of messages that the node carries for the peer. */
  readonly relayed: TokenBucket
  /** Room messages. Each costs one for each member that gets it. */
  readonly said: TokenBucket
  readonly joins: TokenBucket
  readonly refusedRequests: TokenBucket
  /** Made with the first report. */
  reports?: TokenBucket

  constructor(limits: Limits, now: number, member: Member | undefined) {
    const { lookups, relayed, said, joins } = ratesOf(limits, member)
    this.lookups = new TokenBucket(lookups, now)
    this.relayed = new TokenBucket(relayed, now)
    this.said = new TokenBucket(said, now, { whole: true })
    this.joins = new TokenBucket(joins, now)
    this.refusedRequests = new TokenBucket(REFUSED_REQUESTS_PER_SECOND, now)
    this.#count(member)
  }

  /** The policy of the app has changed, or the grants have. What was used stays used. */
  follow(limits: Limits, now: number, member: Member | undefined): void {
    const { lookups, relayed, said, joins } = ratesOf(limits, member)
    this.lookups.setRate(lookups, now)
    this.relayed.setRate(relayed, now)
    this.said.setRate(said, now)
    this.joins.setRate(joins, now)
    this.#count(member)
  }

  #count(member: Member | undefined): void {
    this.policy = member?.app.policy
    this.said.parent = member?.app.said
  }
}

function ratesOf(limits: Limits, member: Member | undefined) {
  const { messagesPerSecond, lookupsPerSecond } = limitsOf(limits, member)
  return {
    lookups: lookupsPerSecond,
    relayed: member?.app.policy.relay?.bytesPerSecond ?? 0,
    said: MEMBERS_PER_MESSAGE * messagesPerSecond,
    joins: lookupsPerSecond === 0 ? 0 : JOINS_PER_SECOND,
  }
}
