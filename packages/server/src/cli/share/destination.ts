import {
  completeCode,
  parseCode,
  parseLink,
  type FragmentMistake,
  type ShareLink,
} from '@peerage/client/transfer'
import type { Asker, Completer } from './ask.js'
import { pageOf } from './connection.js'
import { WrongUsage } from './options.js'
import { visible } from './words.js'

/** What a person gave to `peerage receive`: a link, or a code to look for at a server. */
export interface Destination {
  where: ShareLink | string
  /** The server of a link. */
  page: string | undefined
  needsPassword: boolean
}

const mistakes: Record<FragmentMistake, string> = {
  missing: 'the link has no part after #: copy the whole link, and put it in quotes',
  'cut-short': 'the end of the link is missing: copy the whole link',
  'too-long': 'something follows the link: copy the link alone',
  'bad-characters': 'the part of the link after # has characters that no link has: copy the link once more',
  'other-version': 'the link is for another version of Peerage: update this program',
}

/** Reads a link or a code. @throws WrongUsage */
export function parseDestination(text: string, words: readonly string[]): Destination {
  if (/peer_id=|:\/\//.test(text)) {
    const parsed = parseLink(text)
    if (parsed.ok) {
      const { base, name, fragment, key } = parsed.link
      const page = base === undefined ? undefined : pageOf(base)
      return { where: { name, fragment }, page, needsPassword: key.needsPassword }
    }
    if (parsed.why === 'not-a-link')
      throw new WrongUsage(`${visible(text)} is no link of a share: it has no peer_id`)
    if (parsed.why === 'bad-name') throw new WrongUsage(`the name in the link is wrong: ${parsed.problem}`)
    throw new WrongUsage(mistakes[parsed.why])
  }
  const parsed = parseCode(text, words)
  if (parsed.ok) return { where: parsed.code.text, page: undefined, needsPassword: false }
  throw new WrongUsage(codeMistake(parsed, text))
}

function codeMistake(parsed: Exclude<ReturnType<typeof parseCode>, { ok: true }>, text: string): string {
  switch (parsed.why) {
    case 'unknown-word':
      return `the word ${visible(parsed.word)} is in no code: ask for its spelling`
    case 'too-short':
      return 'a code is a number and three words, such as 17-crane-otter-tulip: a word is missing'
    case 'too-long':
      return 'a code is a number and three words, such as 17-crane-otter-tulip: there are too many words'
    case 'empty':
    case 'no-number':
      return `${JSON.stringify(visible(text))} is neither a link nor a code, such as 17-crane-otter-tulip`
  }
}

/** Asks for a link or a code until it is one. Tab completes the words of a code. Undefined: the person gave up. */
export async function askDestination(
  asker: Asker,
  words: readonly string[],
  say: (line: string) => void,
): Promise<Destination | undefined> {
  for (;;) {
    const text = await asker.ask('Link or code (Tab completes a word): ', { completer: wordsFor(words) })
    if (text === undefined) return undefined
    if (text.trim() === '') continue
    try {
      return parseDestination(text, words)
    } catch (error) {
      if (!(error instanceof WrongUsage)) throw error
      say(error.message)
    }
  }
}

/** A word that is complete gets the hyphen that follows it, except the last. */
export const wordsFor =
  (words: readonly string[]): Completer =>
  (line) => {
    const [, last = ''] = /([^\s-]*)$/.exec(line) ?? []
    const found = completeCode(line, words)
    const isLast = line.split(/[\s-]+/).length > 3
    return [found.length === 1 && !isLast ? found.map((word) => `${word}-`) : found, last]
  }
