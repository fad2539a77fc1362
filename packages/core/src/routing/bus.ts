import type { NodeId } from '@peerage/protocol'
import type { Envelope } from './message.js'

/**
 * Node to node, addressed. Contract (testing/contracts/bus-contract.ts):
 * - at most once: an envelope may be lost, never doubled by the bus itself;
 * - envelopes from one node to another arrive in the order of their publish;
 * - `sent`: the store handed it to somebody who listens to that inbox. Not that it was received;
 * - `unavailable` within the command deadline: nobody listens there, the store did not answer in time, or too much
 *   waits, in count or bytes. It may have arrived all the same: whoever sends it again must bear two;
 * - what is not an envelope is counted, reported to `onError`, and dropped.
 */
export interface Bus {
  /** One inbox at a time: a new NodeId replaces the former. Resolves when the subscription stands. */
  subscribe(node: NodeId, receive: Receive): Promise<void>
  /** `origin` goes along with the envelope: for a bus with several paths. */
  publish(to: NodeId, envelope: Envelope, origin?: Origin): Promise<Published>
  close(): Promise<void>
}

export type Receive = (envelope: Envelope, origin?: Origin) => void
export type Published = 'sent' | 'unavailable'

/** Who sent an envelope, and its number among those that this node sent to that inbox; later ones have higher numbers. */
export interface Origin {
  node: NodeId
  number: number
}
