import type { Streams } from '../channel/streams.js'
import type { FailureStage } from '../connect-error.js'
import type { FreshConnection } from '../connections.js'
import type { Terms } from '../options.js'
import type { Negotiation, NegotiationOptions } from './negotiation.js'
import type { Verifier } from './verification.js'

// What a handshake needs and what it tells. This file has no code.

export interface HandshakeOptions extends NegotiationOptions {
  /** A random id that every signal of this handshake carries, so that signals of older handshakes are recognized. */
  id: string
  /** Resolves to a connection without a description. Rejects if there is no WebRTC here. */
  prepare: (terms: Terms) => Promise<FreshConnection>
  /** What to say about a failure at each stage, when nothing more is known. */
  texts: Readonly<Record<FailureStage, string>>
  /** Verifies the connection before the channel opens. Undefined: nothing is verified. */
  verifier?: Verifier | undefined
  onEvent: (event: HandshakeEvent) => void
}

export type HandshakeEvent =
  | Opened
  | HandshakeEnd
  /** An application has closed a channel that had already ended. */
  | { type: 'closed-for-good' }

/** The channel has opened, and is verified if it must be. Happens at most once, before the end. */
export interface Opened {
  type: 'open'
  negotiation: Negotiation
  streams: Streams
}

/** The handshake has ended. Happens once, whether the channel was open or not. */
export interface HandshakeEnd {
  type: 'end'
  stage: FailureStage
  detail: string
  /** The channel was open and its path was lost, and neither side had closed it. A new connection may reopen it. */
  lost: boolean
  /** Either side has closed the channel, or the lost channel that this handshake was to reopen. */
  forGood: boolean
}
