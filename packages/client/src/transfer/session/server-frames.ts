import { toBase64Url } from '../../lib/base64.js'

// What host and guest send each other as messages through the server. Other messages of the application are left alone.

/** "PSH1": no other message of bytes of an application begins with it, unless by chance. */
const MAGIC = [0x50, 0x53, 0x48, 0x31] as const
const ID_BYTES = 16
/** The bytes of a frame before its payload. */
export const FRAME_HEADER_BYTES = MAGIC.length + ID_BYTES + 1

/**
 * `proof`: a message of the handshake. `data`: a sealed message. `gone`: the sender knows no connection with this id, so
 * the other side makes a new one.
 */
export type FrameKind = 'proof' | 'data' | 'gone'

const KINDS: readonly FrameKind[] = ['proof', 'data', 'gone']

export interface ServerFrame {
  /** The id of the connection through the server: 16 random bytes in base64url. */
  id: string
  kind: FrameKind
  payload: Uint8Array<ArrayBuffer>
}

export function newLinkId(): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(ID_BYTES))
}

export const idText = (id: Uint8Array): string => toBase64Url(id)

export function encodeServerFrame(
  id: Uint8Array,
  kind: FrameKind,
  payload: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + payload.length)
  frame.set(MAGIC)
  frame.set(id, MAGIC.length)
  frame[FRAME_HEADER_BYTES - 1] = KINDS.indexOf(kind)
  frame.set(payload, FRAME_HEADER_BYTES)
  return frame
}

/** Undefined for any message that is not of sharing. */
export function decodeServerFrame(data: unknown): (ServerFrame & { rawId: Uint8Array }) | undefined {
  if (!(data instanceof Uint8Array) || data.length < FRAME_HEADER_BYTES) return undefined
  if (MAGIC.some((byte, at) => data[at] !== byte)) return undefined
  const kind = KINDS[data[FRAME_HEADER_BYTES - 1] ?? KINDS.length]
  if (kind === undefined) return undefined
  const rawId = data.slice(MAGIC.length, FRAME_HEADER_BYTES - 1)
  return { id: idText(rawId), rawId, kind, payload: data.slice(FRAME_HEADER_BYTES) }
}
