import type { App } from '@peerage/protocol'
import type { AccessDecision, AdmitRequest } from '../gateway/shared/access.js'

/** The algorithms of tokens (RFC 7518 §3.1, RFC 8037 §3.1). An app names those that it takes. */
export const ALGORITHMS = ['HS256', 'RS256', 'PS256', 'ES256', 'EdDSA'] as const
export type Algorithm = (typeof ALGORITHMS)[number]

/** Where the keys come from that tokens of an app are checked with. */
export type TokenKeys =
  | { type: 'secret'; secret: string; previousSecret: string | null }
  /** `pem`: a public key (SPKI) or a certificate. */
  | { type: 'public-key'; pem: string }
  /** `allowPrivate`: whether the host in the URL may have addresses that cannot be reached from outside. */
  | { type: 'jwks'; url: string; allowPrivate: boolean }

/** How an app checks tokens. */
export interface TokenSettings {
  /** At least one. With a secret only HS256, else never HS256. */
  algorithms: readonly Algorithm[]
  keys: TokenKeys
  /** What `typ` in the header must be. Null: `typ` is not checked. */
  typ: string | null
  /** What `iss` must be. Null: `iss` is not checked. */
  issuer: string | null
  /** The furthest `exp` ahead of now, in milliseconds. */
  lifetimeMs: number
}

/** How an app asks its own server about each peer. */
export interface WebhookSettings {
  url: string
  /** The whole call may take this long. */
  timeoutMs: number
  /** The names of the request headers that are passed on, in lower case. */
  headers: readonly string[]
  /** Sent as `Authorization: Bearer`. Null: nothing is sent. */
  secret: string | null
  /** Whether the host in the URL may have addresses that cannot be reached from outside. */
  allowPrivate: boolean
  whenUnreachable: 'refuse' | 'allow'
}

/** How an app decides who may come in. */
export type AccessSettings =
  | { mode: 'open' }
  /** Every peer presents the key, or while it is being replaced, the previous one. */
  | { mode: 'key'; key: string; previousKey: string | null }
  | { mode: 'token'; token: TokenSettings }
  | { mode: 'webhook'; webhook: WebhookSettings }

/** The access rule of one app. It is asked after the app and the origin of the peer were checked. */
export interface AppAccess {
  admit(request: AdmitRequest): Promise<AccessDecision>
  /** Ends its timers and calls. Called when its settings have changed, and when the node stops. */
  stop(): void
}

/**
 * Makes the access rule of an app. It is called when the app is first served and when its access settings have changed,
 * not when anything else has: so what a rule has cached outlives a reload. It opens nothing before the first `admit`.
 */
export type MakeAccess = (app: App, settings: AccessSettings) => AppAccess
