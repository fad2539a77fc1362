import type { PeerConnectionClass } from '../p2p/options.js'
import type { Departing } from './leave-on-exit.js'

/**
 * What differs between browsers, Node and single-file bundles. Each entry of the package passes its own platform, and
 * imports nothing of the others. So a bundler never meets a package that its platform does not have.
 */
export interface Platform {
  /** Rejects with an Error if there is none. */
  findWebSocket: () => Promise<WebSocketClass>
  /** Rejects with an Error that says how to get one, if there is none. */
  findPeerConnection: () => Promise<PeerConnectionClass>
  /** Says why a WebSocket could not be opened, and what to do. Absent if the platform never tells. */
  whyNotOpened?: (error: unknown) => string
  /**
   * Makes the session leave when the process ends. Returns a function that cancels this. Absent if there is no such
   * event.
   */
  leaveOnExit?: (session: Departing) => () => void
}

/** The part of a WebSocket class that we use: the platform's, or that of `ws`. */
export type WebSocketClass = new (url: string) => WebSocketLike

export interface WebSocketLike {
  readonly readyState: number
  send(text: string): void
  close(): void
  addEventListener(type: 'open', listener: () => void): void
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void
  addEventListener(type: 'close', listener: (event: { code: number }) => void): void
  addEventListener(type: 'error', listener: (event: object) => void): void
}
