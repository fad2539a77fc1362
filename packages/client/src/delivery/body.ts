import { limits, utf8Length } from '@peerage/protocol'
import { fromBase64, toBase64 } from '../lib/base64.js'
import { jsonOf } from '../lib/json.js'

// Encodes application data as the body of a message: 's' and the text, 'b' and the bytes in base64, else JSON.

/** Room for the other fields of a frame, which include up to two escaped names. */
const HEADER_BYTES = 1_024

/**
 * A message that is larger than a frame is cut into at most this many fragments (the parts of WD17). They fit into the
 * sender's window.
 */
const FRAGMENTS_MOST = 4
/** Followed by a digit: the number of fragments in the first one, 0 in the others. No other body begins with `p`. */
const FRAGMENT_MARK = 'p'
const MARK_LENGTH = 2
const FRAGMENT_PATTERN = new RegExp(`^${FRAGMENT_MARK}([02-${FRAGMENTS_MOST}])`)

/** Returns undefined if the data does not fit into one frame. Throws a TypeError for data that JSON cannot hold. */
export function encodeBody(data: unknown): string | undefined {
  const body = encodeWhole(data)
  return body !== undefined && fits(body) ? body : undefined
}

/** Returns the bodies of one message in order, or undefined if it needs more than four. Throws as `encodeBody` does. */
export function encodeFragments(data: unknown): string[] | undefined {
  const body = encodeWhole(data)
  if (body === undefined) return undefined
  if (fits(body)) return [body]
  const cuts: string[] = []
  for (let at = 0; at < body.length;) {
    let length = limits.bodyLength - MARK_LENGTH
    // Escapes and UTF-8 may make a fragment larger on the wire.
    while (!fits(`${FRAGMENT_MARK}0${body.slice(at, at + length)}`)) length = Math.floor(length * 0.75)
    cuts.push(body.slice(at, at + length))
    at += length
    if (cuts.length > FRAGMENTS_MOST) return undefined
  }
  return cuts.map((cut, i) => `${FRAGMENT_MARK}${i === 0 ? cuts.length : 0}${cut}`)
}

/** The number of fragments if the body is the first one, 0 if it is a later one, undefined if it is a whole message. */
export function fragmentCountOf(body: string): number | undefined {
  const count = FRAGMENT_PATTERN.exec(body)?.[1]
  return count === undefined ? undefined : Number(count)
}

export function joinFragments(bodies: string[]): string {
  return bodies.map((body) => body.slice(MARK_LENGTH)).join('')
}

/** Whether the body, escaped and in UTF-8, is within the limits of one message and one frame. */
export function fits(body: string): boolean {
  return (
    body.length <= limits.bodyLength && utf8Length(JSON.stringify(body)) <= limits.frameBytes - HEADER_BYTES
  )
}

/** @throws for a body that `encodeBody` does not make */
export function decodeBody(body: string): unknown {
  if (body.startsWith('s')) return body.slice(1)
  if (!body.startsWith('b')) return JSON.parse(body)
  return fromBase64(body.slice(1))
}

function bytesOf(data: unknown): Uint8Array | undefined {
  if (data instanceof ArrayBuffer) return new Uint8Array(data)
  if (!ArrayBuffer.isView(data)) return undefined
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

function encodeWhole(data: unknown): string | undefined {
  const bytes = bytesOf(data)
  if (bytes === undefined) return encodeText(data)
  // Checked before encoding. Base64 has 4 characters for 3 bytes.
  if (bytes.length > (FRAGMENTS_MOST * limits.bodyLength * 3) / 4) return undefined
  return `b${toBase64(bytes)}`
}

function encodeText(data: unknown): string {
  return typeof data === 'string' ? `s${data}` : jsonOf(data)
}
