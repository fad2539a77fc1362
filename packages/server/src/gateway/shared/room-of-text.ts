import { createHash } from 'node:crypto'
import type { Room } from '@peerage/protocol'
import { parseRoom } from '@peerage/protocol'

/** Rooms that begin with it stand for texts that are no rooms. */
const HASHED = '#'

/**
 * The room for a text of another wire, such as a topic. A text that is no room by the grammar [WN1] gets a room that is
 * named by its SHA-256, over its UTF-16 code units: in UTF-8 all lone surrogates would be the same.
 *
 * @example
 * ```ts
 * roomOfText('chess') // 'chess'
 * roomOfText('') // '#47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU'
 * ```
 */
export function roomOfText(text: string): Room {
  const own = text.startsWith(HASHED) ? undefined : parseRoom(text)
  if (own?.ok === true) return own.value
  const hashed = parseRoom(`${HASHED}${createHash('sha256').update(text, 'utf16le').digest('base64url')}`)
  if (!hashed.ok) throw new Error(hashed.problem)
  return hashed.value
}
