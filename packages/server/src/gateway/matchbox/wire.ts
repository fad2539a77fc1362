// The wire of matchbox_socket 0.7 to 0.15: JSON texts in WebSocket frames, as serde writes Rust's enums. Only this file
// knows its fields. SPEC: packages/server/SPEC.md, rules MB1 to MB14.

import { randomUUID } from 'node:crypto'
import type { Name, Parsed, Room } from '@peerage/protocol'
import { memberLimits } from '@peerage/core'
import { parseName } from '@peerage/protocol'
import { readMembers, stringOf } from '../shared/json-text.js'
import { roomOfText } from '../shared/room-of-text.js'
import type { UrlCredentials } from '../shared/url-credentials.js'
import { credentialsOfQuery } from '../shared/url-credentials.js'

/** What the URL of a peer asks for. */
export interface Asked extends UrlCredentials {
  /** As the URL has it, decoded. Empty if the URL names none. */
  text: string
  room: Room
  /** How many peers make a group. Undefined: all peers of the room are together. */
  seats: number | undefined
}

/** A message for `to`. `data` is its JSON text, as the sender wrote it. */
export interface Signal {
  type: 'signal'
  to: Name
  data: string
}

/** One frame of a peer. */
export type PeerFrame =
  | Signal
  /** A sign of life, which needs no action. */
  | { type: 'keep-alive' }
  | { type: 'malformed'; problem: string }

/** A member of a room: its name, and the `since` of its lease. */
export interface Self {
  readonly name: Name
  readonly since: number
}

/**
 * Whether `self` is told of `other`, and so makes the offer. Of every two peers exactly one does, on whichever nodes they
 * are: as in matchbox_server, the one that was there first [MB6].
 */
export function offersTo(self: Self, other: Self): boolean {
  return self.since === other.since ? self.name < other.name : self.since < other.since
}

const KEEP_ALIVE: PeerFrame = { type: 'keep-alive' }
const UUID_PATTERN = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i

/** The id of a new peer: a random UUID (RFC 9562 §5.4), which is its name. */
export function mintId(): Name {
  const id = parseName(randomUUID())
  if (!id.ok) throw new Error(id.problem)
  return id.value
}

/** Whether the path is `{endpoint}`, or `{endpoint}/` and at most one segment. */
export function isRoomPath(endpoint: string, path: string): boolean {
  if (path === endpoint) return true
  return path.startsWith(`${endpoint}/`) && !path.includes('/', endpoint.length + 1)
}

/**
 * Reads `{endpoint}/{room}?next=N&app=…&token=…`. As in matchbox_server, a `next` that is no number means nothing, and of
 * several the last one counts. `next=0` means nothing too: no group has zero peers.
 *
 * @example
 * ```ts
 * decodeUrl('/matchbox', '/matchbox/chess', '?next=2').value // { text: 'chess', room: 'chess', seats: 2, … }
 * ```
 */
export function decodeUrl(endpoint: string, path: string, query: string): Parsed<Asked> {
  const credentials = credentialsOfQuery(query)
  if (!credentials.ok) return credentials
  const text = decodedUri(path.slice(endpoint.length + 1))
  if (text === undefined) return { ok: false, problem: 'the room in the path is not percent-encoded UTF-8' }
  const next = new URLSearchParams(query).getAll('next').at(-1) ?? ''
  const seats = /^\d+$/.test(next) ? Number(next) : 0
  if (seats > memberLimits.seats) return { ok: false, problem: `next must be at most ${memberLimits.seats}` }
  const room = { text, room: roomOfText(text), seats: seats === 0 ? undefined : seats }
  return { ok: true, value: { ...credentials.value, ...room } }
}

/** Undefined: the escapes are no UTF-8. */
function decodedUri(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/**
 * Decodes a frame of a peer. The data of a signal keeps the text that the sender wrote. Other members are ignored, and of
 * members with one key the last one counts.
 */
export function decodePeerFrame(text: string): PeerFrame {
  if (text === '"KeepAlive"') return KEEP_ALIVE
  const frame = readMembers(text, ['Signal'])
  if (typeof frame === 'string' || frame.Signal === undefined)
    return malformed('a frame is "KeepAlive" or {"Signal":{"receiver":"a UUID","data":…}}')
  const signal = readMembers(frame.Signal, ['receiver', 'data'])
  if (typeof signal === 'string') return malformed('Signal must be an object')
  if (signal.data === undefined) return malformed('Signal must have data')
  const receiver = stringOf(signal.receiver)
  if (receiver === undefined || !UUID_PATTERN.test(receiver))
    return malformed('receiver must be a UUID with dashes, such as 67e55044-10b1-426f-9247-bb680e5fe0c8')
  const to = parseName(receiver.toLowerCase())
  return to.ok ? { type: 'signal', to: to.value, data: signal.data } : malformed(to.problem)
}

function malformed(problem: string): PeerFrame {
  return { type: 'malformed', problem }
}

/** Tells a peer its id. Always its first frame. */
export function encodeIdAssigned(id: Name): string {
  return JSON.stringify({ IdAssigned: id })
}

/** Tells a peer to make an offer to another one. */
export function encodeNewPeer(id: Name): string {
  return JSON.stringify({ NewPeer: id })
}

export function encodePeerLeft(id: Name): string {
  return JSON.stringify({ PeerLeft: id })
}

/** `data` is JSON text. */
export function encodeSignal(sender: Name, data: string): string {
  return `{"Signal":{"sender":${JSON.stringify(sender)},"data":${data}}}`
}
