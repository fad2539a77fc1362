import { concat } from './bytes.js'
import type { Bytes } from './bytes.js'
import type { HandshakeFailure, HandshakeKind, HostRefusal, Line } from './handshake.js'

// The bytes of the handshake's messages: SPEC.md, section 2.

export const VERSION = 1
export const MESSAGE_BYTES_MAX = 1_024
export const MAC_BYTES = 32
export const CONFIRM_BYTES = 32
export const LINK_ID_BYTES = 8
export const SESSION_ID_BYTES = 16
export const NONCE_BYTES = 32

/** The types of the messages: their second byte. */
const REFUSAL = 5
export type MessageType = 1 | 2 | 3 | 4

const kindCodes: Record<HandshakeKind, number> = { link: 1, 'link+password': 2, code: 3, session: 4 }

/** No refusal says what the other side sees by itself. */
type RefusalReason = Exclude<HandshakeFailure, 'broken-off' | 'wrong-key'>
export const refusalCodes: Record<RefusalReason, number> = {
  malformed: 1,
  incompatible: 2,
  'not-verified': 3,
  'wrong-link': 4,
  'wrong-password': 5,
  'wrong-code': 6,
  'no-code': 7,
  'not-the-session': 8,
  'password-needed': 9,
  'password-not-needed': 10,
  locked: 11,
  taken: 12,
  stopped: 13,
  expired: 14,
  busy: 15,
} satisfies Record<HostRefusal, number> & Record<string, number>

export const kindCode = (kind: HandshakeKind): number => kindCodes[kind]

export function kindOf(code: number | undefined): HandshakeKind | undefined {
  return keyOf(kindCodes, code)
}

function keyOf<Key extends string>(codes: Record<Key, number>, code: number | undefined): Key | undefined {
  for (const key in codes) if (codes[key] === code) return key
  return undefined
}

export function message(type: MessageType, ...fields: Uint8Array[]): Bytes {
  return concat(Uint8Array.of(VERSION, type), ...fields)
}

export type Received =
  | { ok: true; bytes: Bytes }
  | { ok: false; why: HandshakeFailure; isTold: boolean; triesLeft?: number | undefined }

/** The next message, whole. `isTold`: the other side has ended the handshake itself, so it need not be told. */
export async function receive(line: Line, type: MessageType): Promise<Received> {
  let bytes: Bytes
  try {
    bytes = await line.receive()
  } catch {
    return { ok: false, why: 'broken-off', isTold: true }
  }
  const [version, found, reason] = bytes
  if (bytes.length < 3 || bytes.length > MESSAGE_BYTES_MAX)
    return { ok: false, why: 'malformed', isTold: false }
  if (version !== VERSION) return { ok: false, why: 'incompatible', isTold: false }
  if (found === REFUSAL && bytes.length <= 4) {
    const why = keyOf(refusalCodes, reason) ?? 'incompatible'
    return { ok: false, why, isTold: true, triesLeft: bytes[3] }
  }
  return found === type ? { ok: true, bytes } : { ok: false, why: 'malformed', isTold: false }
}

/** False: the line is closed. */
export async function send(line: Line, bytes: Bytes): Promise<boolean> {
  try {
    await line.send(bytes)
    return true
  } catch {
    return false
  }
}

/**
 * Tells the other side why the handshake ends. If the line is closed, the other side knows. `triesLeft`: how many wrong
 * passwords the share still takes.
 */
export async function refuse(line: Line, why: HandshakeFailure, triesLeft?: number): Promise<void> {
  if (why === 'broken-off') return
  const code = refusalCodes[why === 'wrong-key' ? 'not-verified' : why]
  const tries = triesLeft === undefined ? [] : [Math.min(255, triesLeft)]
  await send(line, Uint8Array.of(VERSION, REFUSAL, code, ...tries))
}

/** Cuts bytes into fields of these lengths. Undefined: they have another length together. */
export function fieldsOf(bytes: Bytes, ...lengths: number[]): Bytes[] | undefined {
  if (bytes.length !== lengths.reduce((sum, length) => sum + length, 0)) return undefined
  let at = 0
  return lengths.map((length) => bytes.slice(at, (at += length)))
}
