import type { ErrorCode } from './errors.js'
import { isErrorCode } from './errors.js'
import type { App, Name, Room, Secret } from './ids.js'
import { parseApp, parseName, parseRoom, parseSecret } from './ids.js'
import { limits } from './limits.js'
import type { Fields, Rule } from './shape.js'
import { bounded, list, nullable, object, optional, rule } from './shape.js'

/** The version of this wire; a hello with another one is refused with `bad-version` [H1]. */
export const PROTOCOL_VERSION = 1

const isString = (input: unknown): input is string => typeof input === 'string'
const string = rule(isString, 'must be a string')
const text = (most: number): Rule<string> =>
  rule(
    (input): input is string => isString(input) && input.length <= most,
    `must be a string of at most ${most}`,
  )
const body: Rule<string> = {
  is: (input): input is string => isString(input) && input.length <= limits.bodyLength,
  explain: (input) => (isString(input) ? `is over ${limits.bodyLength} characters` : 'must be a string'),
}
const flag = rule((input): input is boolean => typeof input === 'boolean', 'must be true or false')
const natural = rule(
  (input): input is number => Number.isSafeInteger(input) && Number(input) >= 0,
  'must be a whole number from 0 up',
)
const name: Rule<Name> = {
  is: (input): input is Name => parseName(input).ok,
  explain: (input) => {
    const parsed = parseName(input)
    return parsed.ok ? 'is fine' : `breaks the grammar: ${parsed.problem}`
  },
  code: 'bad-name',
}
const room: Rule<Room> = {
  is: (input): input is Room => parseRoom(input).ok,
  explain: (input) => {
    const parsed = parseRoom(input)
    return parsed.ok ? 'is fine' : `breaks the grammar: ${parsed.problem}`
  },
  code: 'bad-name',
}
const app = rule((input): input is App => parseApp(input).ok, 'must be 1 to 32 characters of a-z, 0-9 and -')
const secret = rule(
  (input): input is Secret => parseSecret(input).ok,
  'must be 22 to 64 characters of base64url',
)
const STREAM_PATTERN = /^[A-Za-z0-9_-]{11}$/
const stream = rule(
  (input): input is string => isString(input) && STREAM_PATTERN.test(input),
  `must be ${limits.streamLength} characters of base64url`,
)
const oneOf = <T extends string>(...values: T[]): Rule<T> =>
  rule((input): input is T => values.some((value) => value === input), `must be one of ${values.join(', ')}`)
const kind = oneOf('message', 'signal')
const presence = oneOf('online', 'away', 'offline')
const code: Rule<ErrorCode> = rule(isErrorCode, 'must be a code of the error table')

const turn = object({ urls: list(string, 8), username: string, credential: string, ttlMs: natural })

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
    handshake: optional(text(32)),
  },
  /** Acknowledges every seq below `next` of each stream, to the peer that sends it. */
  ack: { acks: list(object({ to: name, stream, next: natural }), limits.acksPerFrame) },
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
    handshake: text(32),
    path: oneOf('direct', 'relayed', 'server', 'failed'),
    stage: optional(oneOf('not-found', 'no-answer', 'ice', 'dtls', 'timeout')),
    ms: natural,
  },
  /** Gives the name back at once; the node then closes with `left`. */
  leave: {},
}

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
  acked: { from: name, stream, next: natural },
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
export type TurnCredentials = Fields<{
  urls: Rule<string[]>
  username: Rule<string>
  credential: Rule<string>
  ttlMs: Rule<number>
}>
export type PresenceState = 'online' | 'away' | 'offline'
/** message: the application's; signal: offer, answer or candidate. */
export type Kind = 'message' | 'signal'
