import type { PeerConnectionClass } from '../p2p/options.js'
import type { Departing } from './leave-on-exit.js'

/**
 * What a browser, Node and a bundle in one file have each in their own way. Each entry of the package passes one in, and
 * its graph holds nothing of the others: no bundler meets a package that its platform has not got.
 */
export interface Platform {
  /** Rejects with an Error where there is none. */
  findWebSocket: () => Promise<WebSocketClass>
  /** Rejects with an Error that says how to get one, where there is none. */
  findPeerConnection: () => Promise<PeerConnectionClass>
  /** Why a WebSocket could not be opened, and what to do; absent: this platform never tells. */
  whyNotOpened?: (error: unknown) => string
  /** The stay leaves when the process ends; returns the way to take that back. Absent: nothing is heard of the end. */
  leaveOnExit?: (stay: Departing) => () => void
}

/** What a browser calls WebSocket, as far as it is used: the platform's, or that of `ws`. */
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
