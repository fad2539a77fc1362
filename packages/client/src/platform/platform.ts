import type { Clock } from '../lib/clock.js'
import type { Departing } from './leave-on-exit.js'
import type * as P2PPart from '../p2p/p2p.js'
import type * as RoomsPart from '../rooms/rooms.js'
import type { PeerConnectionClass } from '../p2p/options.js'
import type { WebSocketClass } from './websocket-transport.js'

/**
 * What differs from ground to ground: a browser, Node, a bundle in one file. Each entry of the package passes one in,
 * and its graph holds nothing of the others: no bundler meets a package that its ground has not got.
 */
export interface Ground extends Platform, Parts {}

export interface Platform {
  /** Rejects with an Error where there is none. */
  findWebSocket: () => Promise<WebSocketClass>
  /** Rejects with an Error that says how to get one, where there is none. */
  findPeerConnection: () => Promise<PeerConnectionClass>
  /** Why a WebSocket could not be opened, and what to do; absent: this ground never tells. */
  whyNotOpened?: (error: unknown) => string
  /** The stay leaves when the process ends; returns the way to take that back. Absent: nothing is heard of the end. */
  leaveOnExit?: (stay: Departing) => () => void
}

/**
 * What nothing needs before the first welcome. Each rejects with the signal's reason, or with a PeerageError
 * `not-loaded`.
 */
export interface Parts {
  p2p: (wait: PartWait) => Promise<typeof P2PPart>
  rooms: (wait: PartWait) => Promise<typeof RoomsPart>
}

export interface PartWait {
  clock: Clock
  signal: AbortSignal | undefined
  /** Milliseconds until it has failed; default: 30,000. */
  deadlineMs?: number
}
