import type { ConnectionId, ErrorCode, Peer } from '@peerage/protocol'
import type { Message } from './message.js'

/** What one node says to another, over the bus. */
export type Envelope =
  /** Deliver to the holder of `message.to`, if it is still the stay `epoch` [I5]. */
  | { type: 'deliver'; epoch: number; hops: number; message: Message }
  /** The stay `epoch` is not here: the message comes back whole, so that its origin can look up again. */
  | { type: 'gone'; epoch: number; hops: number; message: Message }
  /** What became of a message: for the sender's connection. */
  | { type: 'notice'; connection: ConnectionId; to: Peer; ref: string; code: ErrorCode }
  /** The name was claimed elsewhere: close this stay, for good. */
  | { type: 'superseded'; peer: Peer; connection: ConnectionId; epoch: number }
  /** An older claim was written back against this stay [I10]: close it; a new claim decides. */
  | { type: 'evicted'; peer: Peer; connection: ConnectionId; epoch: number }
