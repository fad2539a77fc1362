import type { NodeId } from '@peerage/protocol'
import type { Envelope } from './envelope.js'

/**
 * Node to node, addressed. Contract (testing/bus-contract.ts):
 * - at most once: an envelope may be lost, never doubled by the bus itself;
 * - envelopes from one node to another arrive in the order of their publish;
 * - `sent` means handed to the store, not received: a receiver count is a hint at best;
 * - `unavailable` within the command deadline; what waits is bounded in count and bytes, over it: `unavailable`;
 * - what is not an envelope is counted, reported to `onError`, and dropped.
 */
export interface Bus {
  /** One inbox at a time: a new NodeId replaces the former. Resolves when the subscription stands. */
  subscribe(node: NodeId, receive: (envelope: Envelope) => void): Promise<void>
  publish(to: NodeId, envelope: Envelope): Promise<'sent' | 'unavailable'>
  close(): Promise<void>
}
