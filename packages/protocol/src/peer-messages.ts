import { limits } from './limits.js'
import {
  app,
  body,
  flag,
  handshake,
  kind,
  list,
  name,
  natural,
  object,
  oneOf,
  optional,
  room,
  secret,
  stream,
  text,
  unread,
  upTo,
} from './rules.js'

// Apart from the frames of nodes, because the SDK checks none of these, and a bundle of it leaves them out.

/** The hello: the payload of socket.io's CONNECT packet. */
export const helloShape = {
  v: natural,
  app: optional(app),
  name: optional(name),
  secret,
  token: optional(text(limits.tokenLength)),
}

/** The frames that a peer sends, by type. Each is a socket.io event with one object: `42["send",{…}]`. */
export const peerShapes = {
  /** One message or signal for the peer that claimed `to` at `since`. Every seq below `base` is settled. */
  send: {
    to: name,
    since: natural,
    stream,
    seq: natural,
    base: natural,
    kind,
    body,
    fresh: optional(flag),
    handshake: optional(handshake),
  },
  /** Acknowledges to each sender `to` every seq below `next` of its stream. */
  ack: {
    acks: list(object({ to: name, stream, next: natural, unread: optional(unread) }), limits.acksPerFrame),
  },
  lookup: { id: natural, names: list(name, limits.namesPerLookup) },
  watch: { id: natural, names: list(name, limits.namesPerLookup) },
  unwatch: { names: list(name, limits.namesPerLookup) },
  /** Joins a room. The answer is the first page of its members. Joining again is not an error. */
  join: { id: natural, room },
  part: { id: natural, room },
  /** Asks for the members whose names come after `after` in byte order, or for the first ones. */
  members: { id: natural, room, after: optional(name) },
  /** Says something to every other member that is connected now, at most once. */
  say: { id: natural, room, body },
  /** Asks for fresh TURN credentials. */
  ice: { id: natural },
  /** Replaces the access token of this connection before it ends. */
  renew: { id: natural, token: text(limits.tokenLength) },
  /** How a handshake ended, for the operator's metrics. */
  report: {
    handshake,
    path: oneOf('direct', 'relayed', 'failed'),
    stage: optional(oneOf('not-found', 'no-answer', 'ice', 'dtls', 'timeout', 'not-verified')),
    ms: upTo(limits.reportMs),
  },
  /**
   * Gives the name back at once. The node then closes with `left`. A peer that gives up before it has read the welcome
   * sends `onlyNew`: that frees the name only if this hello newly claimed it. A name that it held before is kept.
   */
  leave: { onlyNew: optional(flag) },
}
