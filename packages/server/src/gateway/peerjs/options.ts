import type { App, Peer } from '@peerage/protocol'
import type { GatewayOptions, SocketOptions } from '../shared/gateway.js'

/** The `key` of PeerJS: the one that is served, `*` for any, or which app each key stands for. */
export type PeerJsKeys = string | Readonly<Record<string, App>>

/** What `ExpressPeerServer` takes as options, in our words and units; the README has the table. */
export interface PeerJsSettings {
  /** Mount point: the socket is at `{path}/peerjs`, the greeting at `{path}`. */
  path: string
  /** With slashes on both ends: what a GET of it answers is for the rest of the server to say. */
  root: string
  key: PeerJsKeys
  /** The shared key of the access rules, where there is one: it may travel as PeerJS's key. */
  sharedKey: string | null
  /** Peers of this wire on this node; 0: no limit. */
  concurrentLimit: number
  allowDiscovery: boolean
  /** Without any traffic for so long, answers to pings included, the connection ends. */
  aliveMs: number
  /** Origins that may read the HTTP answers; empty: each. */
  cors: readonly string[]
}

/** What an application may pass in beside the settings. */
export interface PeerJsHooks {
  /** What `GET {path}{key}/id` answers; absent: a random UUID. Must be unguessable where ids are no secret otherwise. */
  generateId?: () => string
  /** A PeerJS peer, as `app/id`, has come to this node, or gone from it. Must not throw. */
  onPeer?: (event: 'connection' | 'disconnect', peer: Peer) => void
}

export interface PeerJsGatewayOptions extends GatewayOptions, SocketOptions, PeerJsSettings, PeerJsHooks {}
