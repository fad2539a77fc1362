import { createHash, timingSafeEqual } from 'node:crypto'
import type { ClaimOutcome, ClaimRequest, Clock, Connection, Node, OnlineSession, Wire } from '@peerage/core'
import { hashSecret } from '@peerage/core'
import type { App, ErrorCode, Name, Peer } from '@peerage/protocol'
import { parseApp, parsePeer, peerOf, temporary } from '@peerage/protocol'
import { pause } from '../../lib/pause.js'
import type { Limits } from './limits.js'

/** Who asks to come in, and what for. Every gateway asks before it claims a name. */
export interface AdmitRequest {
  /** Absent: the peer named none. */
  app?: App
  /** One that the node has made, where the peer named none. */
  name?: Name
  /** What the peer presented: the native hello's token, or PeerJS's token or key. */
  token?: string
  wire: Wire
  /** The Origin header, exactly as it came; absent where there was none. */
  origin?: string
  /** The peer's address, past trusted proxies; IPv6 as its /64, and `unknown` where a proxy named none. */
  address: string
}

export type Admitted =
  /** `identity`: who the peer was proven to be; absent: anybody. Only an identity may replace a holder [I9]. */
  { ok: true; app: App; identity?: string } | { ok: false; code: ErrorCode; detail: string }

/** The seam for who may come in. An embedding application may pass its own. Must not throw for a bad token. */
export interface Access {
  admit(request: AdmitRequest): Promise<Admitted>
}

/** An application's rules, whose word may come from code that no compiler has looked at. */
export function checkedAccess(access: Access): Access {
  return {
    admit: async (request) => {
      const admitted = await access.admit(request)
      const problem = problemOf(admitted)
      if (problem === undefined) return admitted
      throw new TypeError(`accessRules.admit ${problem}. ${WANTED}`)
    },
  }
}

const WANTED =
  "It answers { ok: true, app: 'default' } to let the peer in, or { ok: false, code: 'forbidden', detail: 'why' }"

function problemOf(admitted: unknown): string | undefined {
  if (typeof admitted !== 'object' || admitted === null) return `answered ${shown(admitted)}`
  const { ok, app, identity, code, detail }: Partial<Record<string, unknown>> = { ...admitted }
  if (ok === true) {
    const parsed = typeof app === 'string' ? parseApp(app) : undefined
    if (parsed === undefined) return `must name the app: its answer has app: ${shown(app)}`
    if (!parsed.ok) return `must name the app: ${parsed.problem}`
    return identity === undefined || typeof identity === 'string'
      ? undefined
      : `must name the identity as a text, or not at all: its answer has identity: ${shown(identity)}`
  }
  if (ok !== false) return `must say whether the peer may come in: its answer has ok: ${shown(ok)}`
  if (typeof code !== 'string' || !Object.hasOwn(temporary, code))
    return `must refuse with a code of packages/protocol/SPEC.md: its answer has code: ${shown(code)}`
  return typeof detail === 'string'
    ? undefined
    : `must say why it refuses: its answer has detail: ${shown(detail)}`
}

/** For the log, so short: what an application answered by mistake may hold anything. */
function shown(value: unknown): string {
  if (typeof value === 'string') return 'a text'
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}

export interface AccessOptions {
  /** The app of a peer that names none. */
  defaultApp: App
  /** Apps that are served; empty: any. */
  apps: readonly App[]
  /** Pages that may connect; empty: any. */
  origins: readonly string[]
  /** The key that every peer must present as its token; null: none. */
  key: string | null
}

const refuse = (detail: string): Admitted => ({ ok: false, code: 'forbidden', detail })

/** The access rules of the configuration: a shared key, an Origin allow-list, a list of apps, each optional. */
export function staticAccess(options: AccessOptions): Access {
  return { admit: (request) => Promise.resolve(decide(options, request)) }
}

function decide(options: AccessOptions, request: AdmitRequest): Admitted {
  const { key, origins, apps, defaultApp } = options
  const app = request.app ?? defaultApp
  if (!mayComeFrom(origins, request.origin)) return refuse('this origin may not connect')
  const proven = key !== null && request.token !== undefined && sameSecret(key, request.token)
  if (key !== null && !proven) return refuse('the token is missing or wrong')
  // No browser leaves Origin out; whoever does must prove itself in another way.
  if (origins.length > 0 && request.origin === undefined && !proven)
    return refuse('without an Origin, a token is needed')
  if (apps.length > 0 && !apps.includes(app)) return refuse('this app is not served here')
  return proven ? { ok: true, app, identity: 'shared-key' } : { ok: true, app }
}

/**
 * Whether a page of this origin may connect at all: byte for byte, so a suffix, another case, or `null` is
 * another origin. A missing Origin passes here, at the handshake; `admit` then asks for a token.
 */
export function mayComeFrom(allowed: readonly string[], origin: string | undefined): boolean {
  return allowed.length === 0 || origin === undefined || allowed.includes(origin)
}

/** Compares in a time that tells nothing, not even the length. */
export function sameSecret(expected: string, given: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(expected), digest(given))
}

/** A peer that asks for a name. */
export interface Applicant {
  name: Name
  /** Asks the access rules, in the way of its wire. */
  admit(access: Access): Promise<Decision>
  /** Asked when the peer may come in. False: there is no room for it. */
  takePlace?(peer: Peer): boolean
}

/** `address`: what limits count it by. */
export type ClaimingConnection = Connection & { readonly address: string }

/** What the access rules said, as they said it, and what takes the name back. */
export interface Decision {
  admitted: Admitted
  secret: string
}

export type Claimed =
  | { ok: true; session: OnlineSession; reclaimed: boolean }
  /**
   * `detail`: what the access rules said; absent: they were not what refused. `waitMs`: how long one who fails so often
   * must wait; 0: it may go on.
   */
  | { ok: false; code: ErrorCode; detail?: string; waitMs: number }

export interface ClaimerOptions {
  node: Pick<Node, 'claim'>
  clock: Clock
  access: Access
  limits: Limits
  /** What becomes of a claim whose name is held, where the peer has proven who it is. */
  policy: (app: string) => 'refuse' | 'replace'
  /** A name that is taken is asked for again after each of these: its holder may be about to leave. */
  takenRetriesMs?: readonly number[]
}

/** A flood of claims for one held name must not become four floods. */
const RETRYING_MOST = 100

/** From a peer that asks for a name to its session: what all wires do alike. */
export class Claimer {
  readonly #options: ClaimerOptions
  #retrying = 0

  constructor(options: ClaimerOptions) {
    this.#options = options
  }

  /** Resolves with undefined where the peer has gone before it could be let in. */
  async claim(connection: ClaimingConnection, applicant: Applicant): Promise<Claimed | undefined> {
    const { access, limits, policy } = this.#options
    const { address } = connection
    // Asked before the access rules and the registry are, so that a right token gets no other answer than a wrong one.
    // Not for the name as well: anybody could keep its holder out.
    const waitMs = limits.failuresMs(address)
    if (waitMs > 0) return { ok: false, code: 'rate-limited', waitMs }
    const { admitted, secret } = await applicant.admit(access)
    if (!admitted.ok) {
      const { code, detail } = admitted
      return { ok: false, code, detail, waitMs: limits.claimFailed(address, copyOf(applicant.name)) }
    }
    if (!connection.isOpen) return undefined
    const { app, identity } = admitted
    const peer = ownPeer(peerOf(app, applicant.name))
    if (applicant.takePlace?.(peer) === false) return { ok: false, code: 'overloaded', waitMs: 0 }
    const request: ClaimRequest = { peer, secret, policy: identity === undefined ? 'refuse' : policy(app) }
    const outcome = await this.#claim(connection, request)
    if (outcome.ok) return outcome
    const { code } = outcome
    if (code !== 'name-taken') return { ok: false, code, waitMs: 0 }
    // The hash is no name: who is refused as `default/bob` costs the bob of app `default` nothing.
    return { ok: false, code, waitMs: limits.claimFailed(address, hashSecret(peer, '')) }
  }

  async #claim(connection: ClaimingConnection, request: ClaimRequest): Promise<ClaimOutcome> {
    const { node, clock, takenRetriesMs = [] } = this.#options
    let outcome = await node.claim(connection, request)
    for (const waitMs of takenRetriesMs) {
      if (outcome.ok || outcome.code !== 'name-taken' || this.#retrying >= RETRYING_MOST) return outcome
      this.#retrying++
      await pause(clock, waitMs)
      this.#retrying--
      outcome = await node.claim(connection, request)
    }
    return outcome
  }
}

/** A name is a piece of the text that it came in, and would keep all of it. */
const copyOf = (text: string): string => Buffer.from(text).toString()

function ownPeer(peer: Peer): Peer {
  const own = parsePeer(copyOf(peer))
  return own.ok ? own.value : peer
}
