// The wire of trystero's ws-relay, as @trystero-p2p/ws-relay 0.25 speaks it: JSON objects in WebSocket frames. Only this
// file knows its fields. SPEC: packages/server/SPEC.md, rules TR1 to TR7.

import { readMembers, stringOf } from '../shared/json-text.js'
import type { TopicFrame, TopicWire } from '../topics/codec.js'
import { IGNORED, MALFORMED } from '../topics/codec.js'

const MEMBERS = ['type', 'topic', 'payload'] as const

export const trystero: TopicWire = {
  wire: 'trystero',
  decode: decodePeerFrame,
  frameOf: ({ text }) => text,
  beginsAnew: false,
}

/** Decodes a frame of a peer. The `text` of a publication is the frame for the members, with the payload as it was sent. */
export function decodePeerFrame(frame: string): TopicFrame {
  const members = readMembers(frame, MEMBERS)
  if (members === 'malformed') return MALFORMED
  if (members === 'array') return IGNORED
  const type = stringOf(members.type)
  if (type !== 'subscribe' && type !== 'unsubscribe' && type !== 'publish') return IGNORED
  const topic = stringOf(members.topic)
  if (topic === undefined) return MALFORMED
  if (type !== 'publish') return { type, topics: [topic] }
  const { payload } = members
  if (payload === undefined) return MALFORMED
  return {
    type,
    topic,
    text: `{"topic":${members.topic},"payload":${payload}}`,
    from: undefined,
    to: undefined,
  }
}
