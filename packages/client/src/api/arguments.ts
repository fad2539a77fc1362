import { toBase64 } from '../lib/base64.js'
import { aText, check, checkOptions, type Kind } from '../lib/check.js'
import { jsonOf } from '../lib/json.js'
import type { HttpOptions } from './http.js'
import { kinds } from './options.js'
import type { ApiOptions } from './types.js'

// Reads the arguments of the typed client. What is wrong is a TypeError.

export function httpOptionsOf(options: ApiOptions): HttpOptions {
  checkOptions(options, kinds.api)
  const { url, key, timeoutMs = 30_000, fetch: send = fetch } = options
  check('url', options.url, kinds.api.url)
  check('key', key, aText)
  const parsed = new URL(url)
  if (parsed.protocol !== 'https:' && parsed.protocol !== 'http:')
    throw new TypeError('`url` must begin with https:// or http://')
  // The key is not shown, because it is a secret. A node drops this line break of a file with a key, too.
  const bare = key.replace(/\r?\n$/, '')
  if (!/^[\x21-\x7e]+$/.test(bare))
    throw new TypeError(
      bare === ''
        ? '`key` is empty; it must be a key of the setting api.keys'
        : '`key` must be a key of the setting api.keys; it has a space, a line break or a character that is not ASCII',
    )
  return { base: baseOf(parsed), key: bare, timeoutMs, fetch: send }
}

/** The URL of the API, with a slash at its end. */
function baseOf({ origin, pathname }: URL): string {
  const path = pathname.replace(/\/+$/, '')
  return `${origin}${path.endsWith('/v1') ? path : `${path}/v1`}/`
}

/** A JSON value as it is, or bytes in base64. Throws a TypeError for what is neither. */
export function contentOf(data: unknown): { data: unknown } | { base64: string } {
  if (data instanceof ArrayBuffer) return { base64: toBase64(new Uint8Array(data)) }
  if (ArrayBuffer.isView(data))
    return { base64: toBase64(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)) }
  jsonOf(data)
  return { data }
}

/** A text as one segment of a path. */
export function segment(what: 'name' | 'room' | 'sub' | 'id' | 'kind' | 'value', text: string): string {
  check(what, text, aSegment)
  // Every URL parser takes these away, also when they are escaped.
  if (text === '.' || text === '..')
    throw new TypeError(
      `${what} ${JSON.stringify(text)} cannot be written in a URL${what === 'name' ? '; `sendToPeers` can send to a peer of this name' : ''}`,
    )
  return encodeURIComponent(text)
}

const aSegment: Kind = {
  rule: 'a string of well-formed Unicode that is not empty',
  is: (value) => typeof value === 'string' && value !== '' && /^\P{Cs}*$/u.test(value),
}
