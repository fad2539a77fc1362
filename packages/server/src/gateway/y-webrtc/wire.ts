// The wire of y-webrtc's signaling, as y-webrtc 10.x speaks it: JSON objects in WebSocket frames. Only this file knows its
// fields. SPEC: packages/server/SPEC.md, rules YW1 to YW13.

import type { TopicFrame, TopicWire } from '../topics/codec.js'
import { IGNORED, MALFORMED } from '../topics/codec.js'
import { readMembers, stringOf } from '../shared/json-text.js'

const MEMBERS = ['type', 'topic', 'topics', 'data'] as const
/** In the clear, `data` says who sent it and for whom it is. */
const ENDS = ['from', 'to'] as const
/** The longest id that is read. y-webrtc's own ids are UUIDs. */
const ID_PATTERN = /^[!-~]{1,128}$/

/** A client closes its socket when nothing comes for 30 s, so it pings, and gets this. */
const PONG: TopicFrame = { type: 'answered', frame: '{"type":"pong"}' }

export const yWebrtc: TopicWire = {
  wire: 'y-webrtc',
  decode: decodePeerFrame,
  frameOf: ({ text, members }) => `${text},"clients":${members}}`,
  beginsAnew: true,
}

/**
 * Decodes a frame of a peer. The `text` of a publication is the frame itself without its last brace: with `clients` behind
 * it, every other field arrives as the sender wrote it. If the sender wrote `clients` too, the last one counts, as in every
 * JSON.parse.
 */
export function decodePeerFrame(frame: string): TopicFrame {
  const members = readMembers(frame, MEMBERS)
  if (members === 'malformed') return MALFORMED
  if (members === 'array') return IGNORED
  const type = stringOf(members.type)
  switch (type) {
    case 'subscribe':
    case 'unsubscribe': {
      const topics = topicsOf(members.topics)
      return topics === undefined ? MALFORMED : { type, topics }
    }
    case 'publish': {
      const topic = stringOf(members.topic)
      if (topic === undefined) return MALFORMED
      return { type, topic, text: frame.slice(0, frame.lastIndexOf('}')), ...endsOf(members.data) }
    }
    case 'ping':
      return PONG
    default:
      return IGNORED
  }
}

/** The topics of a list. Other items are left out. Without a list there are none. Undefined: it is no list. */
function topicsOf(text: string | undefined): string[] | undefined {
  if (text === undefined || text === 'null') return []
  const topics: unknown = text.startsWith('[') ? JSON.parse(text) : undefined
  return Array.isArray(topics) ? topics.filter((topic) => typeof topic === 'string') : undefined
}

/** Who wrote the data, and for whom. With a password it is one encrypted string, which says neither. */
function endsOf(data: string | undefined): { from: string | undefined; to: string | undefined } {
  const ends = data?.startsWith('{') === true ? readMembers(data, ENDS) : {}
  if (typeof ends === 'string') return { from: undefined, to: undefined }
  return { from: idOf(ends.from), to: idOf(ends.to) }
}

function idOf(text: string | undefined): string | undefined {
  const id = stringOf(text)
  return id !== undefined && ID_PATTERN.test(id) ? id : undefined
}
