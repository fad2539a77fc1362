import type { Name } from '@peerage/protocol'
import type { Channel } from './channel/channel.js'
import type { ConnectError, FailureStage } from './connect-error.js'
import type { Blank } from './connections.js'
import type { EndReason, HandshakeSignal, Terms } from './handshake/handshake-signal.js'
import type { P2PContext } from '../delivery/signaling.js'

/** How one handshake of this peer ended; the same goes to the node for its operator. */
export interface Outcome {
  peer: Name
  handshake: string
  path: 'direct' | 'relayed' | 'failed'
  stage?: FailureStage
  /** From the call to the open channel, or to the failure. */
  ms: number
}

export interface PairDeps {
  readonly context: P2PContext
  readonly relayOnly: boolean
  readonly holdCandidates: boolean
  /** Resolves to true when the peer may be called, or to false when `isWanted` has become false. */
  turn(to: Name, isWanted: () => boolean): Promise<boolean>
  /** Makes a connection with the ICE servers of the moment. */
  prepare(terms: Terms): Promise<Blank>
  /** Why a call of this peer is refused; undefined: it is taken. */
  refusal(from: Name): Promise<EndReason | undefined>
  onOpen(channel: Channel): void
  onClose(channel: Channel, reason: string): void
  onFail(error: ConnectError): void
  onOutcome(outcome: Outcome): void
  /** One of the two applications has closed the channel of this handshake: it is not to be brought back. */
  onFinal(handshake: string): void
  /** Nothing is open or under way any more. */
  onIdle(): void
}

export type Offer = HandshakeSignal & { type: 'offer' }
