import { limits, utf8Length } from '@peerage/protocol'
import { fromBase64, toBase64 } from '../lib/base64.js'

// What an application sends, as the body of one message: text behind 's', bytes behind 'b' in base64, else JSON.

/** Kept free in a frame for its header: two escaped names at most. */
const HEADER_BYTES = 1_024

/** One message that is larger than a frame travels as so many at most: they stay within the sender's window. */
const PARTS_MOST = 4
/** `p` and how many parts there are, 0 in all but the first: no JSON, text or bytes begin so. */
const PART_MARK = 'p'
const MARK_LENGTH = 2
const PARTS_PATTERN = new RegExp(`^${PART_MARK}([02-${PARTS_MOST}])`)

/** What JSON makes `{}` of, though whoever sends it means what is in it. */
const OPAQUE_PATTERN = /^(?:Blob|File|FormData|Map|Set|WeakMap|WeakSet|Promise)$/

/** Undefined: larger than one frame may be. Throws a TypeError for what JSON cannot hold. */
export function encodeBody(data: unknown): string | undefined {
  const body = encodeWhole(data)
  return body !== undefined && fits(body) ? body : undefined
}

/** The bodies of one message, in order. Undefined: larger than four frames. Throws as `encodeBody` does. */
export function encodeParts(data: unknown): string[] | undefined {
  const body = encodeWhole(data)
  if (body === undefined) return undefined
  if (fits(body)) return [body]
  const cuts: string[] = []
  for (let at = 0; at < body.length;) {
    let length = limits.bodyLength - MARK_LENGTH
    // Escapes and UTF-8 may make it larger on the wire than it is here.
    while (!fits(`${PART_MARK}0${body.slice(at, at + length)}`)) length = Math.floor(length * 0.75)
    cuts.push(body.slice(at, at + length))
    at += length
    if (cuts.length > PARTS_MOST) return undefined
  }
  return cuts.map((cut, i) => `${PART_MARK}${i === 0 ? cuts.length : 0}${cut}`)
}

/** How many parts begin with this body; 0: a part that is not the first; undefined: a message of its own. */
export function partsOf(body: string): number | undefined {
  const count = PARTS_PATTERN.exec(body)?.[1]
  return count === undefined ? undefined : Number(count)
}

export function joinParts(bodies: string[]): string {
  return bodies.map((body) => body.slice(MARK_LENGTH)).join('')
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
  // Before encoding: 4 characters for 3 bytes.
  if (bytes.length > (PARTS_MOST * limits.bodyLength * 3) / 4) return undefined
  return `b${toBase64(bytes)}`
}

function encodeText(data: unknown): string {
  if (typeof data === 'string') return `s${data}`
  const tag = Object.prototype.toString.call(data).slice(8, -1)
  const json = OPAQUE_PATTERN.test(tag) ? undefined : jsonOf(data)
  if (json === undefined)
    throw new TypeError(
      `data must be a JSON value, a string or bytes (an ArrayBuffer or a view); it is ${tag}`,
    )
  return json
}

function jsonOf(data: unknown): string | undefined {
  try {
    return JSON.stringify(data)
  } catch (cause) {
    // A circle, a BigInt, or a toJSON that throws.
    throw new TypeError(
      `data cannot be sent as JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        cause,
      },
    )
  }
}
