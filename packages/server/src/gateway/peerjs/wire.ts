// The PeerJS wire, as peerjs 1.x clients speak it: JSON objects in WebSocket frames. Its words stay in this file.
// SPEC: packages/server/SPEC.md, rules PJ1…

import { readMembers, valueOf } from './json-text.js'

/** What a node sends to every peer that has its name [PJ4]. */
export const OPEN_FRAME = '{"type":"OPEN"}'
/** The id is another's [PJ5]. */
export const ID_TAKEN_FRAME = '{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}'

/** Why a node refuses a peer, in the words that PeerJS clients know from `peer` [PJ3]. */
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
 * What became of a message: `src`, JSON text, is the peer that did not get it [PJ9]. `why`: absent where nobody has the
 * name.
 */
export function encodeExpire(src: string, dst: string, why?: string): string {
  const payload = why === undefined ? '' : `,"payload":${JSON.stringify({ msg: why })}`
  return `{"type":"EXPIRE","src":${src},"dst":${JSON.stringify(dst)}${payload}}`
}

/** What a peer presents in the query of its WebSocket's URL. */
export interface Credentials {
  id: string
  token: string
  key: string
}

/** Undefined: one of the three is missing or empty. Of a parameter that comes twice the last one counts. */
export function decodeCredentials(url: string): Credentials | undefined {
  const from = url.indexOf('?')
  const query = new URLSearchParams(from < 0 ? '' : (url.slice(from + 1).split('#', 1)[0] ?? ''))
  const last = (name: string): string => query.getAll(name).at(-1) ?? ''
  const credentials = { id: last('id'), token: last('token'), key: last('key') }
  return credentials.id && credentials.token && credentials.key ? credentials : undefined
}

/** One frame of a peer. */
export type PeerFrame =
  /** Nothing to do but to know that the peer lives. */
  | { type: 'heartbeat' }
  /** The peer gives its name back. */
  | { type: 'leave' }
  /** For `to`, which may be no name at all; `dst` is its text. `hold`: kept for a while where the peer is absent [PJ8]. */
  | { type: 'relay'; to: unknown; dst: string; hold: boolean; frame: string }
  /** A type that this wire does not have, or a message for nobody [PJ6]. */
  | { type: 'ignored' }
  | { type: 'malformed' }

const HEARTBEAT: PeerFrame = { type: 'heartbeat' }
const LEAVE: PeerFrame = { type: 'leave' }
const IGNORED: PeerFrame = { type: 'ignored' }
const MALFORMED: PeerFrame = { type: 'malformed' }

/** The relayed types, and whether they wait for an absent peer. */
const relayed = new Map<unknown, boolean>([
  ['OFFER', true],
  ['ANSWER', true],
  ['CANDIDATE', true],
  ['LEAVE', false],
  ['EXPIRE', false],
])

/**
 * Decodes what a peer sent; `src` is its name, as JSON text. Of a relayed message only type, dst and payload go on [PJ6];
 * src is ours [I13]. dst and payload go on as their own text: written anew, a number such as 1e20 would be five times as
 * long.
 */
export function decodePeerFrame(text: string, src: string): PeerFrame {
  const members = readMembers(text)
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
