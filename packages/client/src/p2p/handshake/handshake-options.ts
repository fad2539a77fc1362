import type { Clock } from '../../lib/clock.js'
import type { FailureStage } from '../connect-error.js'
import type { Blank } from '../connections.js'
import type { HandshakeSignal, Terms } from './handshake-signal.js'
import type { Streams } from '../channel/streams.js'

export interface HandshakeOptions {
  /** Random, in every signal of this handshake: what belongs to an older one is told apart by it. */
  id: string
  /** Who gives way when both offer at once: names are compared, so both sides know. */
  polite: boolean
  terms: Terms
  /** The handshake whose channel was lost, where this one is to bring it back. */
  resumes?: string | undefined
  clock: Clock
  /** Only candidates of a TURN server leave this peer. */
  relayOnly: boolean
  /** The caller's candidates wait for the answer, so that who refuses learns no address. */
  holdCandidates: boolean
  /** Resolves to true when the other side may be called, or to false when `isWanted` has become false. */
  turn(isWanted: () => boolean): Promise<boolean>
  /** Resolves to a connection that has described nothing yet. Rejects when there is no WebRTC here. */
  prepare(terms: Terms): Promise<Blank>
  /** Resolves when the other side has it, or cannot have it. */
  send(signal: HandshakeSignal): Promise<void>
  onOpen(streams: Streams): void
  /** Ends once, whether before it opened or after. */
  onEnd(end: HandshakeEnd): void
}

export interface HandshakeEnd {
  stage: FailureStage
  detail: string
  /** It was open and its path was lost, and neither side wanted that: a new connection may bring it back. */
  lost: boolean
  /** The other side's application had closed what this handshake was to bring back. */
  final: boolean
}
