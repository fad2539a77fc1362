import { completeCode, codeWords, parseCode } from '@peerage/client/transfer'
import type { Codes } from './model/world.js'

/** What the form for codes needs. It is loaded when it is needed. */
export async function codes(): Promise<Codes> {
  const words = await codeWords()
  return {
    complete: (text) => completeCode(text, words),
    read: (text) => {
      const parsed = parseCode(text, words)
      if (parsed.ok) return { ok: true, code: parsed.code.text }
      return { ok: false, word: parsed.why === 'unknown-word' ? parsed.word : undefined }
    },
  }
}
