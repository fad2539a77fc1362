/** Gives each kind of id a type of its own, so that a NodeId cannot be passed as a Name (SPEC.md §4). */
declare const brand: unique symbol
type Brand<T, B extends string> = T & { readonly [brand]: B }

/** The name of a peer within its app: 1–128 bytes of UTF-8, printable, compared byte for byte [WN1]. */
export type Name = Brand<string, 'Name'>
/** A tenant: `[a-z0-9-]{1,32}` [WN2]. */
export type App = Brand<string, 'App'>
/** A name with its app, written `app/name`. An app has no slash, so the first slash divides the two [WN3]. */
export type Peer = Brand<string, 'Peer'>
/** Identifies one node: 8 characters of base64url, never used again [WN4]. */
export type NodeId = Brand<string, 'NodeId'>
/** Identifies one connection of one node. It is short, and unique within that node [WN4]. */
export type ConnectionId = Brand<string, 'ConnectionId'>
/** Proves that a returning peer is the holder: 22–64 characters of base64url, so at least 128 bits [WN5]. */
export type Secret = Brand<string, 'Secret'>
/** The name of a room, with the grammar of a peer's name [WN1]. */
export type Room = Brand<string, 'Room'>

/**
 * A room with its app, written `app/room` [WN3]. The rooms of another wire are rooms of their own, written
 * `app:wire/room`: no app has a colon.
 */
export type RoomId = Brand<string, 'RoomId'>

/** The value, or the rule that the input breaks, in words for its sender. */
export type Parsed<T> = { ok: true; value: T } | { ok: false; problem: string }

export const NAME_MAX_BYTES = 128
const APP_PATTERN = /^[a-z0-9-]{1,32}$/
const SECRET_PATTERN = /^[A-Za-z0-9_-]{22,64}$/
const NODE_ID_PATTERN = /^[A-Za-z0-9_-]{8}$/
const WIRE_PATTERN = /^[a-z-]{1,16}$/
const CONNECTION_ID_PATTERN = /^[a-z0-9]{1,12}$/
// Control, format and surrogate characters, and line and paragraph separators. Spaces (Zs) are allowed.
const UNPRINTABLE_PATTERN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u

const problem = (text: string): { ok: false; problem: string } => ({ ok: false, problem: text })

/** The length of a text in bytes of UTF-8. Counting takes less than a tenth of the time of encoding. */
export function utf8Length(text: string): number {
  let bytes = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) bytes += 1
    else if (unit < 0x800) bytes += 2
    else if (unit >= 0xd800 && unit <= 0xdbff && i + 1 < text.length) {
      bytes += 4
      i++
    } else bytes += 3
  }
  return bytes
}

function parseNameLike(input: unknown, what: string): Parsed<string> {
  if (typeof input !== 'string') return problem(`${what} must be a string`)
  if (input.length === 0) return problem(`${what} must not be empty`)
  if (input.length > NAME_MAX_BYTES || utf8Length(input) > NAME_MAX_BYTES)
    return problem(`${what} must be at most ${NAME_MAX_BYTES} bytes of UTF-8`)
  if (UNPRINTABLE_PATTERN.test(input))
    return problem(`${what} must be printable: no control, format or surrogate characters, no line breaks`)
  return { ok: true, value: input }
}

export function parseName(input: unknown): Parsed<Name> {
  return parseNameLike(input, 'name') as Parsed<Name>
}

export function parseRoom(input: unknown): Parsed<Room> {
  return parseNameLike(input, 'room') as Parsed<Room>
}

export function parseApp(input: unknown): Parsed<App> {
  if (typeof input !== 'string' || !APP_PATTERN.test(input))
    return problem('app must be 1 to 32 characters of a-z, 0-9 and -')
  return { ok: true, value: input as App }
}

export function parseSecret(input: unknown): Parsed<Secret> {
  if (typeof input !== 'string' || !SECRET_PATTERN.test(input))
    return problem('secret must be 22 to 64 characters of base64url')
  return { ok: true, value: input as Secret }
}

export function parseNodeId(input: unknown): Parsed<NodeId> {
  if (typeof input !== 'string' || !NODE_ID_PATTERN.test(input))
    return problem('node id must be 8 characters of base64url')
  return { ok: true, value: input as NodeId }
}

export function parseConnectionId(input: unknown): Parsed<ConnectionId> {
  if (typeof input !== 'string' || !CONNECTION_ID_PATTERN.test(input))
    return problem('connection id must be 1 to 12 characters of a-z and 0-9')
  return { ok: true, value: input as ConnectionId }
}

export function parsePeer(input: unknown): Parsed<Peer> {
  if (typeof input !== 'string') return problem('peer must be a string')
  const slash = input.indexOf('/')
  if (slash < 0) return problem('peer must be app/name')
  const app = parseApp(input.slice(0, slash))
  if (!app.ok) return app
  const name = parseName(input.slice(slash + 1))
  if (!name.ok) return name
  return { ok: true, value: input as Peer }
}

/** Parses `app/room` or `app:wire/room`. */
export function parseRoomId(input: unknown): Parsed<RoomId> {
  if (typeof input !== 'string') return problem('room must be a string')
  const slash = input.indexOf('/')
  if (slash < 0) return problem('room must be app/room')
  const [app, ...wires] = input.slice(0, slash).split(':')
  const parsed = parseApp(app)
  if (!parsed.ok) return parsed
  if (wires.length > 1 || wires.some((wire) => !WIRE_PATTERN.test(wire)))
    return problem('behind the app there may be one wire, of 1 to 16 characters of a-z and -')
  const room = parseRoom(input.slice(slash + 1))
  return room.ok ? { ok: true, value: input as RoomId } : room
}

export function peerOf(app: App, name: Name): Peer {
  return `${app}/${name}` as Peer
}

/** `wire`: the wire whose room it is. Absent: the native one. */
export function roomIdOf(app: App, room: Room, wire?: string): RoomId {
  return (wire === undefined ? `${app}/${room}` : `${app}:${wire}/${room}`) as RoomId
}

export function roomOf(id: RoomId): Room {
  return id.slice(id.indexOf('/') + 1) as Room
}

export function nameOf(peer: Peer): Name {
  return peer.slice(peer.indexOf('/') + 1) as Name
}

export function appOf(id: Peer | RoomId): App {
  const slash = id.indexOf('/')
  const colon = id.indexOf(':')
  return id.slice(0, colon >= 0 && colon < slash ? colon : slash) as App
}
