import { createHash, timingSafeEqual } from 'node:crypto'
import type { Wire } from '@peerage/core'
import type { App, ErrorCode, Name } from '@peerage/protocol'
import { parseApp, temporary } from '@peerage/protocol'

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
