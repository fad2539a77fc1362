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
export interface MemberTexts {
  dst: string
  payload: string | undefined
}

/**
 * Finds the texts of `dst` and `payload` in an object that JSON.parse has accepted; of several with one key the last
 * counts, as in JSON.parse. One pass. Undefined: nested too deeply.
 */
export function memberTexts(text: string): MemberTexts | undefined {
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
