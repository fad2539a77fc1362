import { limits, utf8Length } from '@peerage/protocol'

// What an application sends, as the body of one message: text behind 's', bytes behind 'b' in base64, else JSON.

/** Kept free in a frame for its header: two escaped names at most. */
const HEADER_BYTES = 1_024

/** Undefined: larger than one message may be. Throws a TypeError for what JSON cannot hold. */
export function encodeBody(data: unknown): string | undefined {
  const bytes = bytesOf(data)
  // Before encoding: 4 characters for 3 bytes.
  if (bytes !== undefined && bytes.length > (limits.bodyLength * 3) / 4 - 3) return undefined
  const body = bytes === undefined ? encodeText(data) : `b${btoa(String.fromCharCode(...bytes))}`
  return fits(body) ? body : undefined
}

/** Whether the body, escaped and in UTF-8, stays within one message and one frame. */
export function fits(body: string): boolean {
  return (
    body.length <= limits.bodyLength && utf8Length(JSON.stringify(body)) <= limits.frameBytes - HEADER_BYTES
  )
}

/** Throws when the body is none that `encodeBody` makes. */
export function decodeBody(body: string): unknown {
  if (body.startsWith('s')) return body.slice(1)
  if (!body.startsWith('b')) return JSON.parse(body)
  return Uint8Array.from(atob(body.slice(1)), (character) => character.charCodeAt(0))
}

function bytesOf(data: unknown): Uint8Array | undefined {
  if (data instanceof ArrayBuffer) return new Uint8Array(data)
  if (!ArrayBuffer.isView(data)) return undefined
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

function encodeText(data: unknown): string {
  if (typeof data === 'string') return `s${data}`
  const json: string | undefined = JSON.stringify(data)
  if (json === undefined) throw new TypeError('data must be a JSON value, a string or bytes')
  return json
}
