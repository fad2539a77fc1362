// The PeerJS wire, as peerjs 1.x clients speak it: JSON objects in WebSocket frames. Its words stay in this file.
// SPEC: packages/server/SPEC.md, rules P1…

/** What a node sends to every peer that has its name [P4]. */
export const OPEN_FRAME = '{"type":"OPEN"}'
/** The id is another's [P5]. */
export const ID_TAKEN_FRAME = '{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}'

/** Why a node refuses a peer, in the words that PeerJS clients know from `peer` [P3]. */
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
 * What became of a message: `src`, JSON text, is the peer that did not get it [P9]. `why`: absent where nobody has the
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
  /** For `to`, which may be no name at all; `dst` is its text. `hold`: kept for a while where the peer is absent [P8]. */
  | { type: 'relay'; to: unknown; dst: string; hold: boolean; frame: string }
  /** A type that this wire does not have, or a message for nobody [P6]. */
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
 * Decodes what the peer named `src` sent. Of a relayed message only type, dst and payload go on [P6]; src is ours [I13].
 * dst and payload go on as their own text: written anew, a number such as 1e20 would be five times as long.
 */
export function decodePeerFrame(text: string, src: string): PeerFrame {
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return MALFORMED
  }
  if (typeof message !== 'object' || message === null) return MALFORMED
  if (Array.isArray(message)) return IGNORED
  const { type, dst } = message as { type?: unknown; dst?: unknown }
  if (type === 'HEARTBEAT') return HEARTBEAT
  const hold = relayed.get(type)
  if (hold === undefined) return IGNORED
  if (!dst) return type === 'LEAVE' ? LEAVE : IGNORED
  const texts = memberTexts(text)
  if (texts === undefined) return MALFORMED
  const payload = texts.payload === undefined ? '' : `,"payload":${texts.payload}`
  const frame = `{"type":"${String(type)}","src":${JSON.stringify(src)},"dst":${texts.dst}${payload}}`
  return { type: 'relay', to: dst, dst: texts.dst, hold, frame }
}

// Where the members of a frame stand in its text.

const QUOTE = 0x22
const COMMA = 0x2c
const BACKSLASH = 0x5c
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/** More than a description of a session ever needs. What is deeper may end the program that reads it. */
const DEPTH_MOST = 1_000

/** The texts of the members of a frame that go on. */
interface MemberTexts {
  dst: string
  payload: string | undefined
}

/**
 * Finds the texts of `dst` and `payload` in an object that JSON.parse has accepted; of several with one key the last
 * counts, as in JSON.parse. One pass. Undefined: nested too deeply.
 */
function memberTexts(text: string): MemberTexts | undefined {
  const found: MemberTexts = { dst: 'null', payload: undefined }
  let at = skipSpace(text, text.indexOf('{') + 1)
  while (text.charCodeAt(at) === QUOTE) {
    const keyEnd = stringEnd(text, at)
    const key = keyOf(text, at, keyEnd)
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1)
    const end = valueEnd(text, start)
    if (end < 0) return undefined
    if (key === 'dst') found.dst = text.slice(start, end)
    else if (key === 'payload') found.payload = text.slice(start, end)
    at = skipSpace(text, end)
    if (text.charCodeAt(at) === COMMA) at = skipSpace(text, at + 1)
  }
  return found
}

function keyOf(text: string, start: number, end: number): unknown {
  const key = text.slice(start + 1, end - 1)
  return key.includes('\\') ? JSON.parse(text.slice(start, end)) : key
}

function skipSpace(text: string, from: number): number {
  let at = from
  while (isSpace(text.charCodeAt(at))) at++
  return at
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09
}

/** Past the closing quote of the string that begins here. A quote behind an odd number of backslashes is its content. */
function stringEnd(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at > 0; at = text.indexOf('"', at + 1)) {
    let slashes = 0
    while (text.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes++
    if (slashes % 2 === 0) return at + 1
  }
  return text.length
}

/** Past the value that begins here; negative: nested too deeply. */
function valueEnd(text: string, start: number): number {
  const first = text.charCodeAt(start)
  if (first === QUOTE) return stringEnd(text, start)
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return plainEnd(text, start)
  let depth = 0
  let at = start
  let plain = 0
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      at = stringEnd(text, at)
      plain = 0
      continue
    }
    at++
    plain = isStructure(code) ? 0 : plain + 1
    if (plain === PLAIN_RUN) {
      at = nextStructure(text, at)
      plain = 0
    }
    if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      depth++
      if (depth > DEPTH_MOST) return -1
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      depth--
      if (depth === 0) return at
    }
  }
  return at
}

function isStructure(code: number): boolean {
  return code === OPEN_BRACE || code === OPEN_BRACKET || code === CLOSE_BRACE || code === CLOSE_BRACKET
}

/** A regular expression finds what is far away twenty times as fast, and what is near no faster. */
const PLAIN_RUN = 32
const STRUCTURE = /["{}[\]]/g

function nextStructure(text: string, from: number): number {
  STRUCTURE.lastIndex = from
  return STRUCTURE.test(text) ? STRUCTURE.lastIndex - 1 : text.length
}

/** Past a number or a word. */
function plainEnd(text: string, start: number): number {
  let at = start
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code === COMMA || code === CLOSE_BRACE || isSpace(code)) return at
    at++
  }
  return at
}
