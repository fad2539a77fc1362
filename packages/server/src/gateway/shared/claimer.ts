import type {
  AnonymousSession,
  ClaimOutcome,
  ClaimRequest,
  Clock,
  Connection,
  Holder,
  Node,
  OnlineSession,
} from '@peerage/core'
import { hashSecret } from '@peerage/core'
import type { App, ErrorCode, Name, Peer } from '@peerage/protocol'
import { parsePeer, peerOf, temporary } from '@peerage/protocol'
import type { AppBudgets, AppUse } from '../../apps/budgets.js'
import type { AppPolicies } from '../../apps/policy.js'
import { pause } from '../../lib/pause.js'
import type { AccessDecision, Allowed, CheckedAccess } from './access.js'
import { isOriginAllowed } from './access.js'
import { admitPatiently } from './admit-patiently.js'
import type { GatewayMetrics, OnRefused } from './events.js'
import type { Limits } from './limits.js'
import { WRONG_ORIGIN } from './refuse-upgrade.js'

/** A peer that asks to come in. */
export interface Applicant {
  /** The app that it asks for. Undefined if it named none. */
  app: App | undefined
  /** On a wire whose peers have no names, the node makes one for the access rules. */
  name: Name
  /** Whether the node made the name, because the peer asked for none. The access rules may then choose another one. */
  isNameMade: boolean
  /** The Origin header, if there was one. */
  origin: string | undefined
  /** Asks the access rules. Each wire passes its own kind of token. */
  admit(access: CheckedAccess): Promise<Decision>
  /** Reserves room for an admitted peer. False: there is none. */
  reserve?(peer: Peer): boolean
}

export interface ClaimingConnection extends Connection {
  /** What limits count the connection by. */
  readonly address: string
  /** Set while the connection counts for an app. Whoever ends the connection calls `leaveApp`. */
  app: AppUse | undefined
  /** What the access rules decided. */
  access: Allowed | undefined
}

/** The unchanged answer of the access rules, and the reclaim secret for the name. */
export interface Decision {
  admitted: AccessDecision
  secret: string
}

/** Whether a name, an identity or a token is banned or revoked. */
export interface RevocationCheck {
  check(app: App, whom: Holder & { name?: Name }): Promise<{ ok: true } | Refused>
}

export interface Refused {
  ok: false
  code: ErrorCode
  detail: string
  retryAfterMs?: number
  isForeignText?: true
}

export type Claimed =
  | { ok: true; session: OnlineSession; reclaimed: boolean }
  /**
   * `detail`: why the access rules or the app's budget refused. Absent if something else refused. `waitMs`: how long the
   * peer must wait because it failed too often, 0 if it need not wait. `retryAfterMs`: when a retry may succeed.
   */
  | { ok: false; code: ErrorCode; detail?: string; waitMs: number; retryAfterMs?: number }

export type EnteredAnonymously = { ok: true; session: AnonymousSession } | Refusal

type Refusal = Extract<Claimed, { ok: false }>

/** The rules have let the peer in, and its connection counts for its app. */
interface LetIn {
  ok: true
  use: AppUse
  allowed: Allowed
  secret: string
}

export interface ClaimerOptions {
  node: Pick<Node, 'claim' | 'admit'>
  clock: Clock
  apps: Pick<AppPolicies, 'defaultApp'>
  budgets: AppBudgets
  /** An application's own rules, which replace those of every app and may choose the app. */
  access?: CheckedAccess | undefined
  /** Absent: nothing can be banned or revoked. */
  revocations?: RevocationCheck | undefined
  limits: Limits
  metrics: Pick<GatewayMetrics, 'appRefused'>
  onRefused: OnRefused
  /** When a name is taken, the claim is tried again after each of these delays, because the holder may be leaving. */
  takenRetriesMs?: readonly number[]
}

/** How many claims may wait for a retry at once, so that the retries do not multiply a flood of claims. */
const MAX_RETRYING = 100

const NOT_SERVED: Refused = { ok: false, code: 'forbidden', detail: 'this app is not served here' }
const FOREIGN_ORIGIN: Refused = { ok: false, code: 'forbidden', detail: WRONG_ORIGIN.detail }
/** The label of apps that are not served. */
const OTHER = 'other'

/** The connection no longer counts for its app. Calling it again does nothing. */
export function leaveApp(connection: Pick<ClaimingConnection, 'app'>): void {
  connection.app?.left()
  connection.app = undefined
}

/** Turns a peer that asks to come in into a session, with a name or without. All wires share these steps. */
export class Claimer {
  readonly #options: ClaimerOptions
  #retrying = 0

  constructor(options: ClaimerOptions) {
    this.#options = options
  }

  /** Claims a name for a peer. Resolves with undefined if the peer has gone before the claim. */
  async claim(connection: ClaimingConnection, applicant: Applicant): Promise<Claimed | undefined> {
    const admitted = await this.#admit(connection, applicant)
    if (!admitted?.ok) return admitted
    const { use, allowed, secret } = admitted
    const peer = ownPeer(peerOf(allowed.app, chosenName(applicant, allowed)))
    if (applicant.reserve?.(peer) === false) {
      leaveApp(connection)
      return { ok: false, code: 'too-many', waitMs: 0 }
    }
    const policy = allowed.identity === undefined ? 'refuse' : use.policy.taken
    const request: ClaimRequest = { peer, secret, policy, ...heldBy(allowed) }
    const outcome = await this.#claim(connection, request)
    if (outcome.ok) {
      closeUnserved(connection, use)
      return outcome
    }
    leaveApp(connection)
    const { code } = outcome
    if (code !== 'name-taken') return { ok: false, code, waitMs: 0 }
    this.#options.metrics.appRefused(use.policy.label, code)
    return { ok: false, code, waitMs: this.#failed(connection, use, peer) }
  }

  /** Lets a peer in without a name. Resolves with undefined if the peer has gone before. */
  async enterAnonymous(
    connection: ClaimingConnection,
    applicant: Applicant,
  ): Promise<EnteredAnonymously | undefined> {
    const admitted = await this.#admit(connection, applicant)
    if (!admitted?.ok) return admitted
    const { use, allowed } = admitted
    const outcome = await admitPatiently(this.#options, connection, allowed.app, heldBy(allowed).holder)
    if (!outcome.ok) {
      leaveApp(connection)
      return connection.isOpen ? { ok: false, code: outcome.code, waitMs: 0 } : undefined
    }
    closeUnserved(connection, use)
    return outcome
  }

  /** Asks the rules whether the peer may come in, and counts the connection for its app if it may. */
  async #admit(connection: ClaimingConnection, applicant: Applicant): Promise<LetIn | Refusal | undefined> {
    const { apps, budgets, limits, access } = this.#options
    // This comes before the access rules and the registry, so that a right token and a wrong one get the same answer.
    // Only the address counts here: if the name counted too, anybody could keep its holder out.
    const waitMs = limits.failuresMs(connection.address)
    if (waitMs > 0) return { ok: false, code: 'rate-limited', waitMs }
    const use = budgets.of(applicant.app ?? apps.defaultApp)
    const rules = access ?? use?.policy
    if (rules === undefined) return this.#refuse(connection, applicant, use, NOT_SERVED)
    // To check a token or to ask a webhook has its price. So every try of a peer counts for its app before that.
    const connectMs = use?.connects.take(1, this.#options.clock.monotonic()) ?? 0
    if (connectMs > 0) return this.#overBudget(use, connectMs)
    if (!isFor(use, applicant)) return this.#refuse(connection, applicant, use, FOREIGN_ORIGIN)
    const { admitted, secret } = await applicant.admit(rules)
    if (!admitted.ok) return this.#refuse(connection, applicant, use, admitted)
    const refused = await this.#revoked(applicant, admitted)
    if (refused !== undefined) return this.#refuse(connection, applicant, use, refused)
    return connection.isOpen ? this.#countFor(connection, applicant, admitted, secret) : undefined
  }

  /** The access rules let the peer in. They may have chosen another app than it asked for. */
  #countFor(
    connection: ClaimingConnection,
    applicant: Applicant,
    allowed: Allowed,
    secret: string,
  ): LetIn | Refusal {
    const use = this.#options.budgets.of(allowed.app)
    if (use === undefined) return this.#refuse(connection, applicant, use, NOT_SERVED)
    if (!isFor(use, applicant)) return this.#refuse(connection, applicant, use, FOREIGN_ORIGIN)
    const retryAfterMs = use.enter()
    if (retryAfterMs > 0) return this.#overBudget(use, retryAfterMs)
    connection.app = use
    connection.access = allowed
    return { ok: true, use, allowed, secret }
  }

  async #revoked(applicant: Applicant, allowed: Allowed): Promise<Refused | undefined> {
    const { budgets, revocations } = this.#options
    if (revocations === undefined || budgets.of(allowed.app)?.policy.hasApi !== true) return undefined
    const name = chosenName(applicant, allowed)
    const answer = await revocations.check(allowed.app, { name, ...holderOf(allowed) })
    return answer.ok ? undefined : answer
  }

  #refuse(
    connection: ClaimingConnection,
    { name, origin }: Applicant,
    use: AppUse | undefined,
    refused: Refused,
  ): Refusal {
    const { code, detail, retryAfterMs } = refused
    const { onRefused, metrics } = this.#options
    const app = use?.isServed === true ? use.app : undefined
    onRefused({ wire: connection.wire, code, app, detail: ownText(refused), origin })
    metrics.appRefused(use?.policy.label ?? OTHER, code)
    const retry = retryAfterMs === undefined ? {} : { retryAfterMs }
    // The peer did nothing wrong.
    if (temporary[code]) return { ok: false, code, detail, waitMs: 0, ...retry }
    const { defaultApp } = this.#options.apps
    const waitMs = this.#failed(connection, use, peerOf(use?.app ?? defaultApp, name))
    return { ok: false, code, detail, waitMs, ...retry }
  }

  /** The key is a hash, because the name is a slice of the text that it came in, and V8 would keep that in memory. */
  #failed({ address }: ClaimingConnection, use: AppUse | undefined, peer: Peer): number {
    const perMinute = use?.policy.limits.name.failuresPerMinute ?? 0
    return this.#options.limits.claimFailed(address, hashSecret(peer, ''), perMinute)
  }

  #overBudget(use: AppUse | undefined, retryAfterMs: number): Refusal {
    this.#options.metrics.appRefused(use?.policy.label ?? OTHER, 'overloaded')
    const detail = 'the app takes no more connections on this node right now; try again later'
    return { ok: false, code: 'overloaded', detail, waitMs: 0, retryAfterMs }
  }

  async #claim(connection: Connection, request: ClaimRequest): Promise<ClaimOutcome> {
    const { node, clock, takenRetriesMs = [] } = this.#options
    let outcome = await node.claim(connection, request)
    for (const waitMs of takenRetriesMs) {
      if (outcome.ok || outcome.code !== 'name-taken' || this.#retrying >= MAX_RETRYING) return outcome
      this.#retrying++
      await pause(clock, waitMs)
      this.#retrying--
      outcome = await node.claim(connection, request)
    }
    return outcome
  }
}

/** The text of a refusal, if it may go to the log. */
export function ownText({ detail, isForeignText }: Refused): string | undefined {
  return isForeignText === true ? undefined : detail
}

/** What the access rules know of a peer, by which an application server can end its connection. */
export function holderOf({ identity, tokenId, issuedAt }: Allowed): Holder {
  const holder: Holder = {}
  if (identity !== undefined) holder.identity = identity
  if (tokenId !== undefined) holder.tokenId = tokenId
  if (issuedAt !== undefined) holder.issuedAt = issuedAt
  return holder
}

/** The holder of a session, if the rules know anything of the peer. */
function heldBy(allowed: Allowed): { holder?: Holder } {
  const { identity, tokenId } = allowed
  return identity === undefined && tokenId === undefined ? {} : { holder: holderOf(allowed) }
}

/** A reload may have removed the app while the peer came in. */
function closeUnserved(connection: ClaimingConnection, use: AppUse): void {
  if (!use.isServed) connection.close('refused')
}

/** Whether a page of this origin may use the app. Programs that send no Origin pass here. */
function isFor(use: AppUse | undefined, { origin }: Applicant): boolean {
  return use === undefined || isOriginAllowed(use.policy.origins, origin)
}

function chosenName({ name, isNameMade }: Applicant, allowed: Allowed): Name {
  return isNameMade ? (allowed.name ?? name) : name
}

/** A copy. A name is a slice of the text that it came in, and V8 would keep that whole text in memory. */
function ownPeer(peer: Peer): Peer {
  const own = parsePeer(Buffer.from(peer).toString())
  return own.ok ? own.value : peer
}
