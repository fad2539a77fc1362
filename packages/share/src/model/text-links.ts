// Texts of other people. Only web addresses in them become links, and nothing in them is markup.

/** A piece of a text. `href` is set if it is a web address. */
export interface TextPiece {
  text: string
  href?: string
}

// Without the characters that hide or reverse text: an address with them could look like another one.
const ADDRESS = /\bhttps?:\/\/[^\s<>"'`\p{Cc}\p{Cf}]+/giu
// What usually ends a sentence, and does not belong to the address.
const TRAILING = /[.,;:!?…。，、；：！？]+$/u
const LINKS_MAX = 200

/** Splits a text into pieces. Joined, the pieces are the text again. */
export function textPieces(text: string): TextPiece[] {
  const pieces: TextPiece[] = []
  let end = 0
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    if (pieces.length >= 2 * LINKS_MAX) break
    const address = trimmed(found)
    const href = safeHref(address)
    if (href === undefined) continue
    if (index > end) pieces.push({ text: text.slice(end, index) })
    pieces.push({ text: address, href })
    end = index + address.length
  }
  if (end < text.length || pieces.length === 0) pieces.push({ text: text.slice(end) })
  return pieces
}

/** The address without the punctuation after it. A closing bracket stays if the address opened it. */
function trimmed(found: string): string {
  let address = found
  for (;;) {
    const before = address
    address = address.replace(TRAILING, '')
    for (const [open, close] of [
      ['(', ')'],
      ['[', ']'],
      ['（', '）'],
      ['「', '」'],
    ] as const)
      if (address.endsWith(close) && address.split(close).length > address.split(open).length)
        address = address.slice(0, -1)
    if (address === before) return address
  }
}

function safeHref(address: string): string | undefined {
  if (!URL.canParse(address)) return undefined
  const url = new URL(address)
  // A link with a user name, such as https://bank.example@evil.example, deceives people.
  if (url.username !== '' || url.password !== '') return undefined
  return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : undefined
}
