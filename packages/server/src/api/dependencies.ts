import type { Clock, Nodes, OnError, Records } from '@peerage/core'
import type { App } from '@peerage/protocol'
import type { PeerageClaim } from '../access/claims.js'
import type { ApiNode } from './node.js'
import type { ServerPeers } from './server-peers.js'

/** Mints a token of an app. Undefined: the app has no secret to sign with. */
export type Mint = (
  app: App,
  claims: { sub: string; ttlMs: number; peerage?: PeerageClaim | undefined },
) => Promise<{ token: string; jti: string; expiresAt: number } | undefined>

/** What the handlers need. */
export interface ApiDependencies {
  node: ApiNode
  nodes: Pick<Nodes, 'list'>
  records: Records
  peers: ServerPeers
  mint: Mint
  /** The longest time that a token of the app is valid, in milliseconds: so long its revocation is kept. */
  tokenMs: (app: App) => number
  clock: Clock
  onError: OnError
}
