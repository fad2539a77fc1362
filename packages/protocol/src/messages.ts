import { limits } from './limits.js'
import type { helloShape, peerShapes } from './peer-messages.js'
import {
  app,
  body,
  bounded,
  code,
  flag,
  kind,
  list,
  name,
  natural,
  nullable,
  object,
  oneOf,
  optional,
  presence,
  room,
  stream,
  string,
  text,
  turn,
  unread,
} from './rules.js'
import type { Fields, Rule, Value } from './rules.js'

/** The version of this wire. A hello with another version is refused with `bad-version` [WH1]. */
export const PROTOCOL_VERSION = 1

const peerPresence = object({ name, state: presence, since: optional(natural) })

/** The frames that a node sends, by type. */
export const nodeShapes = {
  welcome: {
    v: natural,
    app,
    name,
    since: natural,
    node: string,
    /** The P2P server (STUN) as host:port, and TURN credentials. Null: there is none. */
    p2p: object({ server: nullable(string), turn: nullable(turn) }),
    /** Which messages may go through the nodes when there is no channel. Null: none. */
    relay: nullable(object({ bytesPerSecond: natural, messageBytes: natural })),
    graceMs: natural,
    deadlineMs: natural,
    pingMs: natural,
    /** In how many milliseconds the access token ends, and with it the connection. Absent: never. */
    tokenMs: optional(natural),
  },
  message: {
    from: name,
    since: natural,
    stream,
    seq: natural,
    base: natural,
    kind,
    body,
    handshake: optional(text(32)),
    /** True if an application server sent it through the API. No peer can set this. */
    server: optional(flag),
  },
  acked: { from: name, stream, next: natural, unread: optional(unread) },
  /** Why the node did not forward a send. */
  notice: { to: name, stream, seq: natural, code },
  found: { id: natural, peers: list(peerPresence, limits.namesPerLookup) },
  presence: { name, state: presence, since: optional(natural) },
  /** A page of a room's members, each with its presence. `more`: the peer may ask for those after the last one. */
  roomed: { id: natural, room, members: bounded(peerPresence, limits.membersPerPage), more: flag },
  /** Members that joined, left or are away, collected over a short time. */
  changed: {
    room,
    members: list(
      object({ name, since: natural, state: oneOf('joined', 'left', 'away') }),
      limits.membersPerPage,
    ),
  },
  said: { room, from: name, since: natural, body, server: optional(flag) },
  /** The answer to a request that has no other answer: it was carried out. */
  done: { id: natural },
  ice: { id: natural, turn: nullable(turn) },
  /** The new access token is valid, and ends in `tokenMs` milliseconds. Absent: never. */
  renewed: { id: natural, tokenMs: optional(natural) },
  error: {
    code,
    detail: string,
    /** The `id` of the request that failed, if it had one. */
    id: optional(natural),
    retryAfterMs: optional(natural),
  },
  /**
   * Sent right before a close: the name of the reason, and when to come back. With `disconnected` also the close code and
   * the text that an application server chose.
   */
  closing: {
    reason: string,
    retryAfterMs: optional(natural),
    code: optional(natural),
    text: optional(text(limits.closeTextLength)),
  },
}

type Union<S extends Record<string, Record<string, Rule<unknown>>>> = {
  [T in keyof S & string]: { type: T } & Fields<S[T]>
}[keyof S & string]

export type Hello = Fields<typeof helloShape>
export type PeerMessage = Union<typeof peerShapes>
export type NodeMessage = Union<typeof nodeShapes>
export type PeerMessageOf<T extends PeerMessage['type']> = Extract<PeerMessage, { type: T }>
export type NodeMessageOf<T extends NodeMessage['type']> = Extract<NodeMessage, { type: T }>
export type TurnCredentials = Value<typeof turn>
export type PresenceState = 'online' | 'away' | 'offline'
/** `message`: for the application. `signal`: an offer, an answer or a candidate. */
export type Kind = 'message' | 'signal'
