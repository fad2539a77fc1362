import type { Name, NodeMessageOf, PeerMessageOf, TurnCredentials } from '@peerage/protocol'
import { parseHostPort } from '@peerage/protocol'
import type { Carriers, Signaling, Holder } from '../delivery/signaling.js'
import type { Clock } from '../lib/clock.js'
import type { FailureStage } from './connect-error.js'

// The types of what the P2P controller receives from the application, the rest of the SDK, and the platform. The
// controller itself is loaded later, so code that needs only these types imports this file.

// A program for Node is often compiled without TypeScript's `dom` library, but the SDK's types use these names. Without
// the library the interfaces are empty. With it, these declarations add nothing.
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

/** The class RTCPeerConnection of a WebRTC stack: of the browser, of node-datachannel, or of the application's choice. */
export type PeerConnectionClass = new (configuration?: RTCConfiguration) => RTCPeerConnection

/**
 * The RTCPeerConnection class of any WebRTC stack. The types of some stacks, such as werift, differ from the browser's in
 * members that the SDK does not use, so this type asks only for two methods.
 */
export type AnyPeerConnectionClass = new (configuration?: never) => {
  createDataChannel: (...given: never[]) => object
  setRemoteDescription: (...given: never[]) => Promise<unknown>
}

/** Returns the platform's RTCPeerConnection. Rejects with an Error that says how to get one, if there is none. */
export type FindPeerConnection = () => Promise<PeerConnectionClass>

/**
 * How channels to other peers are made: the option `p2p` of `connect`.
 * @example
 * const friends = new Set(['bob', 'carol'])
 * const peer = await connect('https://node.example.org', {
 *   name: 'alice',
 *   p2p: { accept: (from) => friends.has(from), holdCandidates: true },
 * })
 */
export interface P2POptions {
  /**
   * Decides whether the peer named `from` may open a channel to this peer. It may return a promise. If the result is
   * false, an error or not a boolean, the call is refused, and the caller gets a `ConnectError` with the stage
   * `no-answer`. The last two are also an `error` event of this peer. It is not called for a peer that this peer is calling itself (SPEC.md, PP10). Default: every peer may.
   */
  accept?: ((from: Name) => boolean | Promise<boolean>) | undefined
  /**
   * True: channels go only through TURN servers, so other peers never learn an IP address of this peer (SPEC.md, PP15).
   * If that is impossible (no TURN server, or a WebRTC stack that shows the address, such as node-datachannel),
   * `peer.p2p.connect` fails at once with the stage `ice`, and calls of other peers are refused. Default: false.
   */
  relayOnly?: boolean | undefined
  /**
   * True: when this peer calls, it sends its addresses only after the other peer has accepted (SPEC.md, PP16). That
   * takes one more round trip. Default: false.
   */
  holdCandidates?: boolean | undefined
  /**
   * Proves who is at the other end, before a channel is handed out (SPEC.md, PP43). Both sides need it. Without it a peer
   * trusts the nodes to name the right peer and to change no signal. Manual mode does not use it.
   */
  verify?: Verify | undefined
  /**
   * True: `connect` does not wait for the code of P2P, which is 13 KB. It is loaded by `peer.p2p.load()`, which the
   * application calls when it has nothing else to do, or by the first call of this peer or of another one
   * (SPEC.md, PP46). Default: false.
   */
  loadLater?: boolean | undefined
  /**
   * The WebRTC stack to use. Default: the browser's; in Node, node-datachannel if it is installed. docs/stacks.md lists
   * the stacks that were tried.
   */
  RTCPeerConnection?: AnyPeerConnectionClass | undefined
}

/**
 * Proves who is at the other end of a new connection, before its channel is handed out: the option `verify` of
 * `P2POptions`. The SDK calls it on both sides, once for each connection, and also when it reopens a lost channel. The two
 * sides exchange messages over the line, such as a keyed hash over both fingerprints.
 *
 * True: this side has no doubt. The channel opens when both sides have said so. If one side returns false, throws, or does
 * not return by the deadline, no message of the other application is delivered, and `connect` rejects on both sides with a
 * `ConnectError` with the stage `not-verified`. An error, and a result that is not a boolean, are also an `error` event of
 * this peer.
 * @example
 * import { createHmac } from 'node:crypto'
 *
 * const tagOf = (from, to) =>
 *   createHmac('sha256', 'a random secret').update(JSON.stringify([from, to])).digest('hex')
 * const peer = await connect('https://node.example.org', {
 *   name: 'alice',
 *   p2p: {
 *     verify: async (local, remote, line) => {
 *       line.send(new TextEncoder().encode(tagOf(local, remote)))
 *       return new TextDecoder().decode(await line.receive()) === tagOf(remote, local)
 *     },
 *   },
 * })
 */
export type Verify = (local: ConnectionEnd, remote: ConnectionEnd, line: VerifyLine) => Promise<boolean>

/** One end of a connection, for `Verify`. */
export interface ConnectionEnd {
  /** The name of the peer at this end, as its node says. */
  name: Name
  /** The SHA-256 of the certificate with which this end encrypts (DTLS): 64 lower-case hex digits. */
  fingerprint: string
}

/** What the two sides of a connection say to each other while they verify it, for `Verify`. */
export interface VerifyLine {
  /** The id of the handshake, the same on both sides. */
  handshake: string
  /** The label of the channel. */
  label: string
  /** Whether this side has called. The other side has the other value. */
  isCaller: boolean
  /** Aborts when the attempt ends before both sides have verified the connection. */
  signal: AbortSignal
  /**
   * Sends bytes to the other side: at most 4 KiB in one message, and at most 16 messages.
   * @throws RangeError above these bounds, TypeError if it is not a Uint8Array
   * @throws Error when the attempt or the verification has ended
   */
  send(message: Uint8Array<ArrayBuffer>): void
  /**
   * Resolves with the next message of the other side, in the order of sending.
   * @throws Error when the attempt or the verification has ended, or when the other side sends no more messages
   */
  receive(): Promise<Uint8Array<ArrayBuffer>>
}

/** The properties of a channel that both sides must agree on. */
export interface Terms {
  label: string
  ordered: boolean
  /** How often a lost message is sent again; undefined: until it arrives. */
  maxRetransmits?: number | undefined
}

/**
 * The options of `peer.p2p.connect`. If a channel with this peer and label is open or being opened, `connect` returns
 * that channel, and `ordered` and `maxRetransmits` have no effect.
 */
export interface ChannelOptions {
  /** Ends the call when the signal aborts. The promise then rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  /** Milliseconds after which `connect` fails. Default: 15,000. */
  deadlineMs?: number | undefined
  /**
   * Distinguishes several channels to the same peer. Each has its own connection. At most 128 characters. Default: ''. A
   * peer accepts at most 8 labels from one other peer (SPEC.md, PP4).
   */
  label?: string | undefined
  /** False: a later message may arrive before an earlier one. Default: true. */
  ordered?: boolean | undefined
  /**
   * How often a lost message is sent again before it is given up, from 0 to 65,535 (RFC 8831 §6.1). Default: no limit, so
   * the channel is reliable.
   */
  maxRetransmits?: number | undefined
}

/** How one call ended. The calling peer reports the same to its node, so that the operator sees it (SPEC.md, PP17). */
export interface Outcome {
  /** The name of the other peer. */
  peer: Name
  /** The id of the handshake, as in the logs of the nodes. */
  handshake: string
  /** `direct`; `relayed` through a TURN server; or `failed`, when no channel opened. */
  path: 'direct' | 'relayed' | 'failed'
  /** How far the call got. Present only if it failed. */
  stage?: FailureStage
  /** Milliseconds from the start of the call to the open channel, or to the failure. */
  ms: number
}

/** The functions and objects that the rest of the SDK gives to the controller. */
export interface P2PContext {
  readonly self: Holder
  readonly platform: { readonly findPeerConnection: FindPeerConnection }
  readonly clock: Clock
  readonly signaling: Signaling
  readonly carriers: Carriers
  /** The latest welcome: P2P server, TURN credentials, relay policy, times. */
  readonly welcome: NodeMessageOf<'welcome'>
  /**
   * Called after each welcome, which may come from another node with new TURN credentials. Returns a function that
   * removes it.
   */
  onWelcome(listener: () => void): () => void
  /** Calls the listener once, when the peer is closed for good. Returns a function that removes it. */
  onClosed(listener: () => void): () => void
  /** Asks the node for new TURN credentials. Null: the node has no TURN server. Undefined: it gave no answer. */
  requestTurn(): Promise<TurnCredentials | null | undefined>
  /** Tells the node how a handshake ended. A report that is lost while offline does no harm. */
  report(report: Omit<PeerMessageOf<'report'>, 'type'>): void
  /** Reports an error that no caller waits for. `listener`: a listener of the application threw it. */
  onError(error: unknown, stage?: 'listener'): void
}

/** What a controller says that was closed. */
export const CLOSED = 'this peer, or its `p2p`, was closed; `connect` of the SDK makes a new peer'

/**
 * Checks the setting `p2pServer`, which replaces the integrated P2P server.
 * @throws TypeError if it is neither host:port nor absent
 */
export function checkP2PServer(setting: string | null | undefined): void {
  if (setting === undefined || setting === null || parseHostPort(setting) !== undefined) return
  throw new TypeError(`p2pServer must be host:port, with an IPv6 address in brackets; it is ${setting}`)
}

/** Whether there is a server with which channels can be opened, so that there is a controller [PP21]. */
export function hasServer(
  { welcome }: Pick<P2PContext, 'welcome'>,
  setting: string | null | undefined,
): boolean {
  return (setting ?? welcome.p2p.server ?? welcome.p2p.turn) !== null
}
