import type { Name, NodeMessageOf, PeerMessageOf, TurnCredentials } from '@peerage/protocol'
import { parseHostPort } from '@peerage/protocol'
import type { Carriers, Signaling, Stay } from '../delivery/signaling.js'
import type { Clock } from '../lib/clock.js'
import type { FailureStage } from './connect-error.js'

// What the P2P controller is given: by the application, by the rest of the SDK, and by the platform. The controller is
// loaded later; whoever only names what it takes imports this file.

// A program for Node is often compiled without TypeScript's `dom` library. The SDK's types name these, so there they
// are empty; where the library is, this adds nothing to it.
declare global {
  interface AbortSignal {}
  interface RTCConfiguration {}
  interface RTCDataChannel {}
  interface RTCDataChannelInit {}
  interface RTCIceServer {}
  interface RTCPeerConnection {}
  interface RTCSessionDescriptionInit {}
  interface RTCStatsReport {}
}

/** What a browser calls RTCPeerConnection: passed in by the application, the browser's, or node-datachannel's. */
export type PeerConnectionClass = new (configuration?: RTCConfiguration) => RTCPeerConnection

/** Any stack's: the types of some, such as werift's, differ from the browser's in what is not used here. */
export type AnyPeerConnectionClass = new (configuration?: never) => {
  createDataChannel: (...given: never[]) => object
  setRemoteDescription: (...given: never[]) => Promise<unknown>
}

/** Rejects with an Error that says how to get one, where there is none. */
export type FindPeerConnection = () => Promise<PeerConnectionClass>

export interface P2POptions {
  /** Who may open a channel to this peer; everyone, when absent. Peers that this one calls may. */
  accept?: ((from: Name) => boolean | Promise<boolean>) | undefined
  /**
   * Only through TURN: no address of this peer is shown to another, nor a direct path tried. Where that cannot be kept,
   * without a TURN server or with node-datachannel, `connect` fails at once, and who calls is refused.
   */
  relayOnly?: boolean | undefined
  /** When calling, shows this peer's addresses only after the other side accepted. Costs one round trip. */
  holdCandidates?: boolean | undefined
  /** Where the platform has none of its own: node-datachannel is found without it. */
  RTCPeerConnection?: AnyPeerConnectionClass | undefined
}

/** What a channel is: both sides make it from the same terms. */
export interface Terms {
  label: string
  ordered: boolean
  /** How often a lost message is sent again; undefined: until it arrives. */
  maxRetransmits?: number | undefined
}

export interface ChannelOptions {
  signal?: AbortSignal | undefined
  /** Milliseconds until the attempt has failed; 15,000 by default. */
  deadlineMs?: number | undefined
  /** Each label is a channel of its own, with its own connection; '' by default. At most 128 characters. */
  label?: string | undefined
  /** True by default. */
  ordered?: boolean | undefined
  /** How often a lost message is sent again; until it arrives, when absent. */
  maxRetransmits?: number | undefined
}

/** How one handshake of this peer ended; the same goes to the node for its operator. */
export interface Outcome {
  peer: Name
  handshake: string
  path: 'direct' | 'relayed' | 'failed'
  stage?: FailureStage
  /** From the call to the open channel, or to the failure. */
  ms: number
}

/** Everything that the rest of the SDK gives to the controller. */
export interface P2PContext {
  readonly self: Stay
  readonly platform: { readonly findPeerConnection: FindPeerConnection }
  readonly clock: Clock
  readonly signaling: Signaling
  readonly carriers: Carriers
  /** The latest welcome: P2P server, TURN credentials, relay policy, times. */
  readonly welcome: NodeMessageOf<'welcome'>
  /** Called after each welcome: another node, perhaps fresh TURN credentials. Returns the way to stop. */
  onWelcome(listener: () => void): () => void
  /** Called once, when the peer is closed for good. */
  onClosed(listener: () => void): () => void
  /** Asks the node for fresh TURN credentials; undefined: no answer now. */
  requestTurn(): Promise<TurnCredentials | null | undefined>
  /** Tells the node how a handshake ended; lost without harm when offline. */
  report(report: Omit<PeerMessageOf<'report'>, 'type'>): void
  /** An error that no caller waits for; `listener`: one of the application's own. */
  onError(error: unknown, stage?: 'listener'): void
}

/**
 * The application's own P2P server takes the place of the integrated one.
 * @throws TypeError when it is not host:port
 */
export function checkP2PServer(setting: string | null | undefined): void {
  if (setting === undefined || setting === null || parseHostPort(setting) !== undefined) return
  throw new TypeError(`p2pServer must be host:port, an IPv6 address in brackets, not ${setting}`)
}
