import type { Name } from '@peerage/protocol'
import type { EndReason, HandshakeSignal } from './handshake-signal.js'
import type { P2PContext, SendResult, Stay } from './signaling.js'

/** How long a handshake may take, from the call to the open channel. */
export const DEADLINE_MS = 15_000

/** One signal to another peer, kept no longer than a handshake may take. */
export function sendSignal(
  { signaling }: P2PContext,
  to: Name,
  handshake: string,
  signal: HandshakeSignal,
): Promise<SendResult> {
  return signaling.send(to, JSON.stringify(signal), { handshake, deadlineMs: DEADLINE_MS })
}

/** Tells a peer that its handshake comes to nothing here. */
export function refuse(context: P2PContext, from: Stay, handshake: string, reason: EndReason): void {
  void sendSignal(context, from.name, handshake, { type: 'end', reason })
}
