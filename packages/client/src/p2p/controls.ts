import type { Channel } from './channel/channel.js'
import type { ConnectError } from './connect-error.js'
import type { DiagnoseOptions, Diagnosis } from './diagnose.js'
import type { ChannelOptions, Outcome } from './options.js'

// What an application sees of P2P. The code behind it is loaded later.

// This is a type and not an interface because the emitter needs an index signature.
/** The events of `peer.p2p`. Each value is the list of arguments of the event's listeners. */
export type P2PEvents = {
  /** A channel has opened, whichever side called. */
  'channel-opened': [channel: Channel]
  /** A channel has closed. The reason is text for people. */
  'channel-closed': [channel: Channel, reason: string]
  /** A call of this peer has failed, or the SDK could not reopen a lost channel. `connect` rejects with the same error. */
  'connect-failed': [error: ConnectError]
  /** A channel has closed, and no other channel is open. */
  'all-channels-closed': []
  /** A call of this peer has opened a channel or failed, or a call of another peer has opened a channel. */
  outcome: [outcome: Outcome]
}

/** The name of every event. */
export const P2P_EVENTS = {
  'channel-opened': true,
  'channel-closed': true,
  'connect-failed': true,
  'all-channels-closed': true,
  outcome: true,
} as const

/**
 * The P2P controller, `peer.p2p`: it opens channels (WebRTC data channels) to other peers, and accepts theirs.
 * `peer.p2p` is null if P2P is disabled.
 * @example
 * const channel = await peer.p2p.connect('bob')
 * channel.on('message', (data) => console.log('bob says', data))
 * await channel.send('hello')
 * @example
 * // The other side:
 * peer.p2p.on('channel-opened', (channel) => {
 *   channel.on('message', (data) => channel.send(`you said ${data}`))
 * })
 */
export interface P2P {
  /**
   * The P2P (STUN) server in use, as host:port: the option `p2pServer` of `connect`, else the server that the node named.
   * Null: only a TURN server is used. Setting it throws an Error (SPEC.md, PP21).
   */
  p2pServer: string | null
  /** All open channels, in no particular order. */
  readonly channels: Channel[]
  /**
   * Returns the open channel to `peer` with this label, or undefined. It opens no channel.
   * @throws TypeError if an argument is not a string
   */
  channel(peer: string, label?: string): Channel | undefined
  /** Whether `send` of the open channel to `peer` with this label would have to wait. Null: no such channel is open. */
  busy(peer: string, label?: string): boolean | null
  /**
   * Calls `listener` at each `event`. Returns a function that removes the listener. An error that a listener throws
   * becomes an `error` event of the peer. After `close`, no event comes any more, and a new listener is not an error.
   * @throws TypeError for an event that does not exist
   */
  on<K extends keyof P2PEvents>(event: K, listener: (...args: P2PEvents[K]) => unknown): () => void
  /**
   * Resolves with a channel to the peer named `to`. If a channel with that peer and label is open or being opened, that is
   * the channel (SPEC.md, PP5). The other peer gets the channel by its event `channel-opened`.
   * @throws ConnectError when no channel opened by the deadline. Its `stage` says how far the attempt got.
   * @throws PeerageError `bad-name` if `to` is not a valid name, `closed` if this peer or its `p2p` was closed
   * @throws the signal's reason when the signal aborts
   * @throws TypeError for a wrong option
   * @example
   * const channel = await peer.p2p.connect('bob', { label: 'cursor', ordered: false, maxRetransmits: 0 })
   */
  connect(to: string, options?: ChannelOptions): Promise<Channel>
  /**
   * Finds out what prevents direct channels: how the NAT maps this peer's address, whether the STUN and TURN servers
   * answer, and what to do (SPEC.md, PP23). Takes up to twice `timeoutMs`.
   * @throws Error if there is no WebRTC here
   * @throws the signal's reason when the signal aborts
   * @example
   * const { mapping, stun, turn, advice } = await peer.p2p.diagnose()
   * for (const sentence of advice) console.log(sentence)
   */
  diagnose(options?: DiagnoseOptions): Promise<Diagnosis>
  /**
   * Loads the code of P2P now, if the option `loadLater` has put it off. The first call of this
   * peer or of another one loads it, too, and waits meanwhile.
   * @throws PeerageError `not-loaded`, or `closed` if this peer or its `p2p` was closed
   */
  load(): Promise<void>
  /**
   * Closes every channel and ends every attempt at once. A `send` that still waits for room in the buffer rejects with
   * the code `closed`. Afterwards `connect` rejects, and calls of other peers get no answer. Resolves when the other peers
   * have been told, or after 2 s.
   */
  close(): Promise<void>
}
