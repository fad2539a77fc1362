import { aText, anArray, check } from '../../lib/check.js'
import { systemRandom } from './bytes.js'
import type { Random } from './bytes.js'

// A code is what people say aloud in place of a link: a number and three words, such as `17-crane-otter-tulip`. The
// number says under which name the host waits. The words are the secret.

const WORDS_IN_CODE = 3
export const CODE_NUMBER_MAX = 9_999
/** No code is longer, however it is typed. It bounds what the reader spends on a text that somebody pastes. */
const TEXT_CHARACTERS_MAX = 256

/** A code, as its parts. */
export interface Code {
  /** 1 to 9,999. */
  number: number
  /** The canonical text, such as `17-crane-otter-tulip`. */
  text: string
}

/** A code that was read, or what is wrong with it. */
export type ParsedCode =
  | { ok: true; code: Code }
  | { ok: false; why: 'empty' }
  /** It does not begin with a number from 1 to 9,999. */
  | { ok: false; why: 'no-number' }
  /** It has fewer than three words. */
  | { ok: false; why: 'too-short' }
  /** It has more than three words, or other text around it. */
  | { ok: false; why: 'too-long' }
  /** The list has no such word, so nobody made this code. */
  | { ok: false; why: 'unknown-word'; word: string }

/** The name that the host of a code holds meanwhile, such as `share-17`. */
export function codeName(number: number): string {
  return `share-${number}`
}

/**
 * A number for a new code. The first attempts give short numbers. If another peer holds the name of the number, try the
 * next attempt.
 *
 * @param attempt counted from 0
 */
export function drawNumber(attempt: number, random: Random = systemRandom): number {
  return 1 + drawBelow(attempt < 3 ? 99 : attempt < 6 ? 999 : CODE_NUMBER_MAX, random)
}

/**
 * Makes a code.
 *
 * @param words what `codeWords()` resolves with
 * @example
 * const { words } = await import('./words.js')
 * makeCode(17, words).text // '17-crane-otter-tulip'
 */
export function makeCode(number: number, words: readonly string[], random: Random = systemRandom): Code {
  const drawn = Array.from({ length: WORDS_IN_CODE }, () => words[drawBelow(words.length, random)] ?? '')
  return { number, text: [number, ...drawn].join('-') }
}

/**
 * Reads what a person typed. Case does not matter, and any white space or punctuation may stand between the parts.
 *
 * @param words what `codeWords()` resolves with. A word that is not in it is a typing error, which must not cost the code.
 * @throws TypeError if an argument is of another type
 */
export function parseCode(text: string, words: readonly string[]): ParsedCode {
  check('text', text, aText)
  check('words', words, anArray)
  if (text.length > TEXT_CHARACTERS_MAX) return { ok: false, why: 'too-long' }
  const parts = partsOf(text)
  const [number, ...said] = parts
  if (number === undefined) return { ok: false, why: 'empty' }
  if (!isCodeNumber(number)) return { ok: false, why: 'no-number' }
  const word = said.find((one) => !words.includes(one))
  if (word !== undefined) return { ok: false, why: 'unknown-word', word }
  if (said.length !== WORDS_IN_CODE)
    return { ok: false, why: said.length < WORDS_IN_CODE ? 'too-short' : 'too-long' }
  return { ok: true, code: { number: Number(number), text: [Number(number), ...said].join('-') } }
}

/**
 * The words with which the last part of a code may go on, in alphabetical order.
 *
 * @example
 * completeCode('17-cran', words) // ['crane', 'crank']
 */
export function completeCode(text: string, words: readonly string[]): string[] {
  check('text', text, aText)
  check('words', words, anArray)
  const [number, ...said] = partsOf(text)
  const last = said.at(-1)
  const isOpen = /[\p{L}\p{N}]$/u.test(text)
  if (number === undefined || last === undefined || !isOpen) return []
  return isCodeNumber(number) && said.length <= WORDS_IN_CODE
    ? words.filter((word) => word.startsWith(last))
    : []
}

/** NFKC turns the wide digits and letters of East Asian keyboards into plain ones. */
function partsOf(text: string): string[] {
  const plain = text.slice(0, TEXT_CHARACTERS_MAX).normalize('NFKC').toLowerCase()
  // `yo-yo` is said like `yoyo`.
  return (plain.match(/[\p{L}\p{N}]+/gu) ?? [])
    .join(' ')
    .replaceAll(/\byo yo\b/g, 'yoyo')
    .split(' ')
    .filter(Boolean)
}

function isCodeNumber(text: string): boolean {
  return /^\d{1,6}$/.test(text) && Number(text) >= 1 && Number(text) <= CODE_NUMBER_MAX
}

/** A whole number from 0 to `count` - 1, each as likely as the others. */
function drawBelow(count: number, random: Random): number {
  // Numbers from the last whole multiple of `count` on are drawn again.
  const most = 2 ** 32 - (2 ** 32 % count)
  for (;;) {
    const drawn = new DataView(random(4).buffer).getUint32(0)
    if (drawn < most) return drawn % count
  }
}
