import type { Peer } from '@peerage/protocol'
import type { GatewayOptions, SocketOptions } from '../shared/gateway.js'

/** The options of `ExpressPeerServer` under our names and in our units. The README has the table. */
export interface PeerJsSettings {
  /** The path of the wire. The WebSocket is at `{path}/peerjs` and the greeting at `{path}`. */
  path: string
  /** The node's own path, with slashes at both ends. A GET of exactly this path is left to the rest of the server. */
  root: string
  /** How many peers of this wire the node takes. 0 means no limit. */
  concurrentLimit: number
  /** A connection without any traffic for this time ends. Answers to pings count as traffic. */
  aliveMs: number
  /** The origins that may read the HTTP answers. Empty means any. */
  cors: readonly string[]
}

/** The functions for PeerJS that an embedding application may pass in addition to the settings. */
export interface PeerJsHooks {
  /**
   * Returns the id with which `GET {path}{key}/id` answers. Default: a random UUID. The id must be hard to guess if
   * nothing else protects it. If the function throws, the error is logged and the answer is 500.
   */
  generateId?: () => string
  /**
   * Called when a PeerJS peer has got its name on this node, and when its connection has ended. `peer` is `app/id`, such
   * as `default/alice`. If it throws or rejects, the error is logged and no connection ends.
   */
  onPeer?: (event: 'connection' | 'disconnect', peer: Peer) => void
}

export interface PeerJsGatewayOptions extends GatewayOptions, SocketOptions, PeerJsSettings, PeerJsHooks {}
