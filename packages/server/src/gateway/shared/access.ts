import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { ClaimOutcome, ClaimRequest, Clock, Connection, Node, OnlineSession, Wire } from '@peerage/core'
import { hashSecret } from '@peerage/core'
import type { App, ErrorCode, Name, Peer } from '@peerage/protocol'
import { isErrorCode, parseApp, parsePeer, peerOf } from '@peerage/protocol'
import type { AppPolicies } from '../../apps/policy.js'
import { pause } from '../../lib/pause.js'
import type { OnRefused } from './events.js'
import type { Grants } from '../../access/grants.js'
import type { Limits } from './limits.js'

/** A peer that asks to be admitted, as `Access.admit` gets it. */
export interface AdmitRequest {
  /** The app that the peer asks for. Absent if the peer named none. */
  app?: App
  /**
   * The name that the peer asks for. If the peer named none, the name that the node made for it. Absent if PeerJS asks
   * for the list of ids [PJ12].
   */
  name?: Name
  /** Whether the node made the name, because the peer asked for none. */
  isNameMade?: boolean
  /**
   * The secret that the peer presented: on the native wire the `token` of its hello (the SDK's option `token`), on the
   * PeerJS wire its token up to the first `~`, then its key [PJ11]. Absent if the peer presented none.
   */
  token?: string
  /** The wire that the peer speaks: `native` or `peerjs`. */
  wire: Wire
  /** The Origin header, unchanged. Absent if the request had none. Browsers always send it, other programs usually not. */
  origin?: string
  /**
   * The address of the peer itself, even behind a trusted proxy, in the form that the limits use: an IPv4 address, an
   * IPv6 /64 such as `2001:db8::/64`, or `unknown` if a proxy named no address.
   */
  address: string
  /** The headers of the request of the peer, as Node has them: with names in lower case. */
  headers?: IncomingHttpHeaders
}

/**
 * The decision of `Access.admit`. With `ok: true` the peer may claim its name in `app`. `identity` is a string of your
 * choice for the person or program that the peer has proven to be; leave it out if the peer has proven nothing. Only a
 * peer with an identity may replace the holder of a name [I9], and only if the setting `taken` is `replace`. With
 * `ok: false` the node refuses the peer with an error code of packages/protocol/SPEC.md, usually `forbidden`. A peer
 * with the SDK also gets the `detail`.
 */
export type Admitted =
  | { ok: true; app: string; identity?: string | undefined }
  | { ok: false; code: ErrorCode; detail: string }

/**
 * The rules that decide which peers may come in. An application passes its own rules as the option `accessRules`.
 *
 * The node calls `admit` before each claim of a name, and before it lists ids for PeerJS (`peerjs.allowDiscovery`).
 * `admit` must answer a bad token with `ok: false`, and must not throw because of it. If it throws or answers something
 * else, the node logs the error and the peer may try again.
 *
 * @example
 * ```js
 * const names = new Map([['token-of-alice', 'alice']])
 * const accessRules = {
 *   async admit({ token = '', name, app = 'default' }) {
 *     const known = names.get(token)
 *     if (known === undefined) return { ok: false, code: 'forbidden', detail: 'sign in first' }
 *     if (known !== name) return { ok: false, code: 'forbidden', detail: 'this name is not yours' }
 *     return { ok: true, app, identity: known }
 *   },
 * }
 * ```
 */
export interface Access {
  /** Decides about one request. It may answer later. */
  admit(request: AdmitRequest): Admitted | Promise<Admitted>
}

/** An `Admitted` that has been checked, or the decision of the rules of an app. */
export type AccessDecision = Allowed | { ok: false; code: ErrorCode; detail: string; retryAfterMs?: number }

/** What the access rules know about a peer that they have let in. */
export interface Allowed extends Grants {
  ok: true
  app: App
  /** Who the peer is: the `sub` of its token, or what the rules of an application say. Absent: it has proven nothing. */
  identity?: string
  /** The name for a peer that asked for none. */
  name?: Name
  /** Whether the token is for exactly this name, so that on the PeerJS wire it takes the name back by itself [PJ11]. */
  isOwnName?: boolean
  /** When the access ends (Unix ms). Absent: it does not end. */
  endsAt?: number
  /** `jti` and `iat` (Unix ms) of the token, by which an application server can revoke it. */
  tokenId?: string
  issuedAt?: number
  /** `cnf.jkt` of the token: the SHA-256 thumbprint (RFC 7638) of the key that the peer holds. */
  keyThumbprint?: string
}

/** Access rules whose answers are checked: what gateways ask. */
export interface CheckedAccess {
  admit(request: AdmitRequest): Promise<AccessDecision>
}

/** Checks each answer of an application's rules, because they may come from code without types. */
export function checkedAccess(access: Access): CheckedAccess {
  return {
    admit: async (request) => {
      const decision = readAdmitted(await access.admit(request))
      if (typeof decision !== 'string') return decision
      throw new TypeError(`accessRules.admit ${decision}. ${WANTED}`)
    },
  }
}

const WANTED =
  "It answers { ok: true, app: 'default' } to let the peer in, or { ok: false, code: 'forbidden', detail: 'why' }"

/** The decision of an application's rules, or what is wrong with it. */
function readAdmitted(admitted: unknown): AccessDecision | string {
  if (typeof admitted !== 'object' || admitted === null) return `answered ${shown(admitted)}`
  const { ok, app, identity, code, detail }: Partial<Record<string, unknown>> = { ...admitted }
  if (ok === true) {
    const parsed = typeof app === 'string' ? parseApp(app) : undefined
    if (parsed === undefined) return `must name the app: its answer has app: ${shown(app)}`
    if (!parsed.ok) return `must name the app: ${parsed.problem}`
    if (identity === undefined) return { ok, app: parsed.value }
    if (typeof identity === 'string') return { ok, app: parsed.value, identity }
    return `must return identity as a string, or leave it out: its answer has identity: ${shown(identity)}`
  }
  if (ok !== false) return `must return ok: true or ok: false: its answer has ok: ${shown(ok)}`
  if (!isErrorCode(code))
    return `must refuse with an error code of packages/protocol/SPEC.md: its answer has code: ${shown(code)}`
  if (typeof detail !== 'string') return `must say why it refuses: its answer has detail: ${shown(detail)}`
  return { ok, code, detail }
}

/** Describes a wrong answer by its type only, because it may contain secrets and this text goes to the log. */
function shown(value: unknown): string {
  if (typeof value === 'string') return 'a string'
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}

/**
 * Whether a page of this origin may connect. Origins are compared byte for byte, so a suffix, another case or `null` is
 * another origin. A request without Origin passes here, at the upgrade, and `admit` then asks for a token.
 */
export function isOriginAllowed(allowed: readonly string[], origin: string | undefined): boolean {
  return allowed.length === 0 || origin === undefined || allowed.includes(origin)
}

/** Compares in a time that reveals nothing about the secret, not even its length. */
export function sameSecret(expected: string, given: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(expected), digest(given))
}

/** A peer that asks for a name. */
export interface Applicant {
  name: Name
  /** The app that it asks for, if it named one. */
  app: App | undefined
  /** The Origin header, if there was one. */
  origin: string | undefined
  /** Asks the access rules. Each wire passes its own kind of token. */
  admit(access: CheckedAccess): Promise<Decision>
  /** Reserves room for an admitted peer. False: there is none. */
  reserve?(peer: Peer): boolean
}

/** `address` is what limits count the connection by. */
export type ClaimingConnection = Connection & { readonly address: string }

/** The unchanged answer of the access rules, and the reclaim secret for the name. */
export interface Decision {
  admitted: AccessDecision
  secret: string
}

export type Claimed =
  | { ok: true; session: OnlineSession; reclaimed: boolean }
  /**
   * `detail`: why the access rules refused. Absent if something else refused. `waitMs`: how long the peer must wait
   * because it failed too often, 0 if it need not wait.
   */
  | { ok: false; code: ErrorCode; detail?: string; waitMs: number }

export interface ClaimerOptions {
  node: Pick<Node, 'claim'>
  clock: Clock
  access: CheckedAccess
  limits: Limits
  onRefused: OnRefused
  apps: Pick<AppPolicies, 'of'>
  /** When a name is taken, the claim is tried again after each of these delays, because the holder may be leaving. */
  takenRetriesMs?: readonly number[]
}

/** How many claims may wait for a retry at once, so that the retries do not multiply a flood of claims. */
const MAX_RETRYING = 100

/** Turns a peer that asks for a name into a session. All wires share these steps. */
export class Claimer {
  readonly #options: ClaimerOptions
  #retrying = 0

  constructor(options: ClaimerOptions) {
    this.#options = options
  }

  /** Resolves with undefined if the peer has gone before the claim. */
  async claim(connection: ClaimingConnection, applicant: Applicant): Promise<Claimed | undefined> {
    const { access, limits, apps, onRefused } = this.#options
    const { address } = connection
    // This comes before the access rules and the registry, so that a right token and a wrong one get the same answer.
    // Only the address counts here: if the name counted too, anybody could keep its holder out.
    const waitMs = limits.failuresMs(address)
    if (waitMs > 0) return { ok: false, code: 'rate-limited', waitMs }
    const { admitted, secret } = await applicant.admit(access)
    if (!admitted.ok) {
      const { code, detail } = admitted
      onRefused({ wire: connection.wire, app: applicant.app, code, detail, origin: applicant.origin })
      return { ok: false, code, detail, waitMs: limits.claimFailed(address, copyOf(applicant.name)) }
    }
    if (!connection.isOpen) return undefined
    const { app, identity } = admitted
    const peer = ownPeer(peerOf(app, applicant.name))
    if (applicant.reserve?.(peer) === false) return { ok: false, code: 'overloaded', waitMs: 0 }
    const request: ClaimRequest = {
      peer,
      secret,
      policy: identity === undefined ? 'refuse' : (apps.of(app)?.taken ?? 'refuse'),
    }
    const outcome = await this.#claim(connection, request)
    if (outcome.ok) return outcome
    const { code } = outcome
    if (code !== 'name-taken') return { ok: false, code, waitMs: 0 }
    // The key is a hash, so that refusals of the name `default/bob` do not count for the name `bob` of the app `default`.
    return { ok: false, code, waitMs: limits.claimFailed(address, hashSecret(peer, '')) }
  }

  async #claim(connection: ClaimingConnection, request: ClaimRequest): Promise<ClaimOutcome> {
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

/** Copies a string. A name is a slice of the text that it came in, and V8 would keep that whole text in memory. */
const copyOf = (text: string): string => Buffer.from(text).toString()

function ownPeer(peer: Peer): Peer {
  const own = parsePeer(copyOf(peer))
  return own.ok ? own.value : peer
}
