// The PeerJS wire, as peerjs 1.x speaks it: JSON objects in WebSocket frames. Only this file knows its fields.
// SPEC: packages/server/SPEC.md, rules PJ1 to PJ24.

import { readMembers, valueOf } from '../shared/json-text.js'

/** The node sends it to every peer that has got its name [PJ4]. */
export const OPEN_FRAME = '{"type":"OPEN"}'
/** Another peer holds the id [PJ5]. */
export const ID_TAKEN_FRAME = '{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}'

/** Why a node refuses a peer, in the words of `peer`, the PeerJS server [PJ3]. */
export const refusals = {
  parameters: 'No id, token, or key supplied to websocket server',
  key: 'Invalid key provided',
  token: 'Invalid token provided',
  limit: 'Server has reached its concurrent user limit',
} as const

export function encodeError(text: string): string {
  return JSON.stringify({ type: 'ERROR', payload: { msg: text } })
}

/**
 * Tells the sender that a message was not delivered. `src` (JSON text) is the peer that did not get it [PJ9]. `why` is
 * absent if no peer has the name.
 */
export function encodeExpire(src: string, dst: string, why?: string): string {
  const payload = why === undefined ? '' : `,"payload":${JSON.stringify({ msg: why })}`
  return `{"type":"EXPIRE","src":${src},"dst":${JSON.stringify(dst)}${payload}}`
}

/** What a peer presents in the query of its WebSocket URL. */
export interface Credentials {
  id: string
  token: string
  key: string
}

/** As the first character of a token it is no part of a credential: secrets that the node derives begin like this. */
// eslint-disable-next-line no-control-regex
const CONTROL_FIRST = /^[\0-\x1f\x7f]/

/**
 * Undefined if one of the three is missing or empty, or if the token begins with a control character. If a parameter comes
 * twice, the last one counts.
 */
export function decodeCredentials(url: string): Credentials | undefined {
  const from = url.indexOf('?')
  const query = new URLSearchParams(from < 0 ? '' : (url.slice(from + 1).split('#', 1)[0] ?? ''))
  const last = (name: string): string => query.getAll(name).at(-1) ?? ''
  const credentials = { id: last('id'), token: last('token'), key: last('key') }
  if (CONTROL_FIRST.test(credentials.token)) return undefined
  return credentials.id && credentials.token && credentials.key ? credentials : undefined
}

/** One frame of a peer. */
export type PeerFrame =
  /** A sign of life, which needs no action. */
  | { type: 'heartbeat' }
  /** The peer releases its name. */
  | { type: 'leave' }
  /** A message for `to`, which may be no valid name. `dst` is its text. `hold`: it waits for an absent peer [PJ8]. */
  | { type: 'relay'; to: unknown; dst: string; hold: boolean; frame: string }
  /** The type is unknown on this wire, or the message has no recipient [PJ6]. */
  | { type: 'ignored' }
  | { type: 'malformed' }

const HEARTBEAT: PeerFrame = { type: 'heartbeat' }
const LEAVE: PeerFrame = { type: 'leave' }
const IGNORED: PeerFrame = { type: 'ignored' }
const MALFORMED: PeerFrame = { type: 'malformed' }

/** What a relayed message keeps. */
const MEMBERS = ['type', 'dst', 'payload'] as const

/** The types that are relayed, and whether they wait for an absent peer. */
const relayed = new Map<unknown, boolean>([
  ['OFFER', true],
  ['ANSWER', true],
  ['CANDIDATE', true],
  ['LEAVE', false],
  ['EXPIRE', false],
])

/**
 * Decodes a frame of a peer. `src` is the name of this peer, as JSON text. A relayed message keeps only type, dst and
 * payload [PJ6], and gets this `src` [I13]. dst and payload keep the text that the sender wrote, because a number such as
 * 1e20 would become five times as long if it was encoded again.
 */
export function decodePeerFrame(text: string, src: string): PeerFrame {
  const members = readMembers(text, MEMBERS)
  if (members === 'malformed') return MALFORMED
  if (members === 'array') return IGNORED
  const { dst, payload } = members
  const type = members.type === undefined ? undefined : valueOf(members.type)
  if (type === 'HEARTBEAT') return HEARTBEAT
  const hold = relayed.get(type)
  if (hold === undefined) return IGNORED
  const to = dst === undefined ? undefined : valueOf(dst)
  if (dst === undefined || !to) return type === 'LEAVE' ? LEAVE : IGNORED
  const frame = `{"type":"${String(type)}","src":${src},"dst":${dst}${payload === undefined ? '' : `,"payload":${payload}`}}`
  return { type: 'relay', to, dst, hold, frame }
}
