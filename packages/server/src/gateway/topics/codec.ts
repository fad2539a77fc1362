import type { RoomText, Wire } from '@peerage/core'

/** One frame of a peer, on a wire whose peers subscribe to topics and publish. */
export type TopicFrame =
  | { type: 'subscribe' | 'unsubscribe'; topics: readonly string[] }
  /**
   * `text` goes to the members of the topic, and `TopicWire.frameOf` makes their frame of it. `from` and `to`: the ids that
   * the sender wrote in the clear, if it wrote any.
   */
  | { type: 'publish'; topic: string; text: string; from: string | undefined; to: string | undefined }
  /** The sender itself gets this frame at once. */
  | { type: 'answered'; frame: string }
  /** The wire has no such type, so it needs no action. */
  | { type: 'ignored' }
  | { type: 'malformed' }

export const IGNORED: TopicFrame = { type: 'ignored' }
export const MALFORMED: TopicFrame = { type: 'malformed' }

/** What distinguishes the wires of topics from each other. */
export interface TopicWire {
  wire: Extract<Wire, 'y-webrtc' | 'trystero'>
  /** Reads any text. Never throws. */
  decode(text: string): TopicFrame
  /** The frame with which a member gets a publication. */
  frameOf(message: RoomText): string
  /**
   * Whether a peer announces itself only when it connects. If so, a connection that may have missed something is closed,
   * because the peer then connects again and begins anew. If not, its peers repeat their announcements by themselves.
   */
  beginsAnew: boolean
}
