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

/** The version of this wire; a hello with another one is refused with `bad-version` [WH1]. */
export const PROTOCOL_VERSION = 1

const peerPresence = object({ name, state: presence, since: optional(natural) })

/** Node to peer. */
export const nodeShapes = {
  welcome: {
    v: natural,
    app,
    name,
    since: natural,
    node: string,
    /** The integrated P2P server as host:port, or null; TURN credentials, or null. */
    p2p: object({ server: nullable(string), turn: nullable(turn) }),
    /** What the server carries when P2P cannot: null is nothing. */
    relay: nullable(object({ bytesPerSecond: natural, messageBytes: natural })),
    graceMs: natural,
    deadlineMs: natural,
    pingMs: natural,
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
  },
  acked: { from: name, stream, next: natural, unread: optional(unread) },
  /** What the node knows at once about a send that it did not hand on. */
  notice: { to: name, stream, seq: natural, code },
  found: { id: natural, peers: list(peerPresence, limits.namesPerLookup) },
  presence: { name, state: presence, since: optional(natural) },
  /** A page of a room's members, each with its presence; `more`: ask again, after the last one. */
  roomed: { id: natural, room, members: bounded(peerPresence, limits.membersPerPage), more: flag },
  /** Members that came, left, or are away and may come back: those of a short while, in one frame. */
  changed: {
    room,
    members: list(
      object({ name, since: natural, state: oneOf('joined', 'left', 'away') }),
      limits.membersPerPage,
    ),
  },
  said: { room, from: name, since: natural, body },
  /** A request without another answer was carried out. */
  done: { id: natural },
  ice: { id: natural, turn: nullable(turn) },
  error: {
    code,
    detail: string,
    /** The `id` of the request that failed, where it had one. */
    id: optional(natural),
    retryAfterMs: optional(natural),
  },
  /** Right before a close: the reason's name, and when to come back. */
  closing: { reason: string, retryAfterMs: optional(natural) },
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
/** message: the application's; signal: offer, answer or candidate. */
export type Kind = 'message' | 'signal'
