import type { App } from '@peerage/protocol'
import type { AccessDecision, AdmitRequest } from '../gateway/shared/access.js'

/** Rates and counts of one connection of an app. 0: no limit. */
export interface ConnectionLimits {
  messagesPerSecond: number
  bytesPerSecond: number
  signalBytesPerSecond: number
  lookupsPerSecond: number
}

/** What one app may use of one node, over all its connections. 0: no limit. */
export interface AppBudget {
  connections: number
  connectsPerSecond: number
  messagesPerSecond: number
  bytesPerSecond: number
}

/** The settings of TURN that an app uses. `secret` null: there is no TURN server. */
export interface TurnPolicy {
  urls: readonly string[]
  secret: string | null
  previousSecret: string | null
  ttlMs: number
}

/** All that a node knows of one app. An object is never changed: a reload makes a new one. */
export interface AppPolicy {
  readonly app: App
  /** The label of this app in metrics: its name, or `other` if there are too many apps or they are not listed. */
  readonly label: string
  /** Exact origins of the pages that may connect. Empty: any. */
  readonly origins: readonly string[]
  readonly taken: 'refuse' | 'replace'
  readonly limits: {
    connection: ConnectionLimits
    name: { messagesPerSecond: number; failuresPerMinute: number }
    app: AppBudget
  }
  /** The limits of messages that nodes carry. Null: they carry none. */
  readonly relay: { bytesPerSecond: number; messageBytes: number } | null
  readonly turn: TurnPolicy
  /** Whether PeerJS clients may list the ids. */
  readonly discovery: boolean
  /** Whether the app has the API, so that names, identities and tokens may be banned or revoked. */
  readonly hasApi: boolean
  /** Whether the names of the app are in its index: it has discovery or the API. */
  readonly indexed: boolean
  /** Decides about one peer of this app, after its app and origin were checked. */
  admit(request: AdmitRequest): Promise<AccessDecision>
}

/** The default key of PeerJS. Everybody knows it. */
export const PUBLIC_KEY = 'peerjs'

/**
 * Which app a key of PeerJS stands for, if the key is served [PJ2]. `app` undefined: that of a peer that names none.
 * `isSecret`: not everybody knows the key, so a wrong key may be a guess.
 */
export type KeyMeaning = { ok: true; app: App | undefined; isSecret: boolean } | { ok: false }

/** The apps of a node. */
export interface AppPolicies {
  /** The app of a peer that names none. */
  readonly defaultApp: App
  /** Undefined if this node does not serve the app. */
  of(app: App): AppPolicy | undefined
  /** Whether a page of this origin may connect to any app. Asked at the upgrade, before the app is known. */
  mayConnect(origin: string | undefined): boolean
  appOfKey(key: string): KeyMeaning
}
