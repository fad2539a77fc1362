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

// Apart from what nodes say: an SDK checks none of these, and so a bundle of it leaves them out.

/** What a peer presents when it connects: the auth payload of the socket.io CONNECT packet. */
export const helloShape = {
  v: natural,
  app: optional(app),
  name: optional(name),
  secret,
  token: optional(text(8192)),
}

/** Peer to node. Every one is a socket.io event with one object: `42["send",{…}]`. */
export const peerShapes = {
  /** One message or signal for the peer who claimed `to` at `since`. `base`: every seq below it is settled. */
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
  /** Acknowledges every seq below `next` of each stream, to the peer that sends it. */
  ack: {
    acks: list(object({ to: name, stream, next: natural, unread: optional(unread) }), limits.acksPerFrame),
  },
  lookup: { id: natural, names: list(name, limits.namesPerLookup) },
  watch: { id: natural, names: list(name, limits.namesPerLookup) },
  unwatch: { names: list(name, limits.namesPerLookup) },
  /** Into a room; answered with its first members. Joining again is no error. */
  join: { id: natural, room },
  part: { id: natural, room },
  /** The members whose names come after `after`, in byte order; from the first without it. */
  members: { id: natural, room, after: optional(name) },
  /** To every other member that is connected now: at most once. */
  say: { id: natural, room, body },
  /** Fresh TURN credentials. */
  ice: { id: natural },
  /** How a handshake ended, for the operator's metrics. */
  report: {
    handshake,
    path: oneOf('direct', 'relayed', 'failed'),
    stage: optional(oneOf('not-found', 'no-answer', 'ice', 'dtls', 'timeout')),
    ms: upTo(limits.reportMs),
  },
  /**
   * Gives the name back at once; the node then closes with `left`. `onlyNew`: from who gives up before it has read the
   * welcome. It frees a name that nobody had before; one that this peer held before waits for it.
   */
  leave: { onlyNew: optional(flag) },
}
