import type { RoomText, Wire } from '@peerage/core'
import { valueOf } from '../shared/json-text.js'

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
   * Whether a peer subscribes and announces itself anew after a close, and only then. If so, a connection that may have
   * missed something is closed. If not, its peers repeat their announcements by themselves.
   */
  beginsAnew: boolean
}

/** The value of a JSON text, if it is a string. */
export function stringOf(text: string | undefined): string | undefined {
  const value = text?.startsWith('"') === true ? valueOf(text) : undefined
  return typeof value === 'string' ? value : undefined
}
