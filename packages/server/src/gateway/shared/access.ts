import { createHash, timingSafeEqual } from 'node:crypto'
import type { Wire } from '@peerage/core'
import type { App, ErrorCode, Name } from '@peerage/protocol'
import { isErrorCode, parseApp } from '@peerage/protocol'
import type { Grants } from '../../access/grants.js'

/** A peer that asks to be admitted, as `Access.admit` gets it. */
export interface AdmitRequest {
  /** The app that the peer asks for. Absent if the peer named none. */
  app?: App
  /**
   * The name that the peer asks for. If the peer named none, the name that the node made for it. Absent if PeerJS asks
   * for the list of ids [PJ12].
   */
  name?: Name
  /** True if the node made the name, because the peer asked for none. */
  isNameMade?: boolean
  /**
   * The secret that the peer presented: on the native wire the `token` of its hello (the SDK's option `token`), on the
   * PeerJS wire its token up to the first `~`, then its key [PJ11], and on the other wires `token` or `key` of its URL
   * [UW2]. Absent if the peer presented none.
   */
  token?: string
  /** The wire that the peer speaks: `native`, `peerjs`, `y-webrtc`, `webtorrent`, `trystero` or `matchbox`. */
  wire: Wire
  /** The Origin header, unchanged. Absent if the request had none. Browsers always send it, other programs usually not. */
  origin?: string
  /**
   * The address of the peer itself, even behind a trusted proxy, in the form that the limits use: an IPv4 address, an
   * IPv6 /64 such as `2001:db8::/64`, or `unknown` if a proxy named no address.
   */
  address: string
  /** The headers of the peer's request, by their names in lower case. Absent when a peer renews its token. */
  headers?: Readonly<Record<string, string | string[] | undefined>>
  /** True if the peer is connected, and wants to replace its token. */
  isRenewal?: boolean
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
 * The node calls `admit` before each claim of a name, when a connected peer replaces its token (`isRenewal`), and before it
 * lists ids for PeerJS (`peerjs.allowDiscovery`).
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
export type AccessDecision =
  | Allowed
  | {
      ok: false
      code: ErrorCode
      detail: string
      retryAfterMs?: number
      /** The application wrote `detail`. It may hold a name, so it goes to the peer, and not to our log. */
      isForeignText?: true
    }

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
  /**
   * How much longer the node lets the peer stay, in ms. A token is taken until some seconds after its `exp`, because clocks
   * differ. If such a peer were closed at once, it would come in again with the same token, and be closed again. Absent: 0.
   */
  toleranceMs?: number
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
  return { ok, code, detail, isForeignText: true }
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
