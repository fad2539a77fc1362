import { createContext } from 'preact'
import { useContext } from 'preact/hooks'
import { english } from './en.js'

/** The texts of the page in one language. */
export type Words = typeof english

export const LANGUAGES = ['en', 'zh'] as const
export type Language = (typeof LANGUAGES)[number]

/** How each language calls itself. */
export const languageNames: Readonly<Record<Language, string>> = { en: 'English', zh: '中文' }

/** The first of the person's languages that the page has, else English. */
export function preferredLanguage(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const [primary] = tag.toLowerCase().split('-')
    const known = LANGUAGES.find((one) => one === primary)
    if (known !== undefined) return known
  }
  return 'en'
}

/** English comes with the page. The other language is loaded when it is needed. */
export async function loadWords(language: Language): Promise<Words> {
  switch (language) {
    case 'en':
      return english
    case 'zh':
      return (await import('./zh.js')).chinese
  }
}

export const WordsContext = createContext<Words>(english)

export function useWords(): Words {
  return useContext(WordsContext)
}
