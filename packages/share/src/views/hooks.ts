import { createContext } from 'preact'
import { useContext, useEffect, useLayoutEffect, useState } from 'preact/hooks'
import type { PageModel } from '../model/page-model.js'
import { countText, sizeText, timeText } from '../model/format.js'
import { deviceParts } from '../model/device.js'
import { friendlyName } from '../model/friendly.js'
import type { Words } from '../words/words.js'
import { useWords } from '../words/words.js'

export const ModelContext = createContext<PageModel | undefined>(undefined)

export function useModel(): PageModel {
  const model = useContext(ModelContext)
  if (model === undefined) throw new Error('a view is outside of the page')
  return model
}

/** Draws the view again after each change of the thing. */
export function useChanges(thing: { onChange(listener: () => void): () => void }): void {
  const [, draw] = useState(0)
  useLayoutEffect(() => thing.onChange(() => draw((count) => count + 1)), [thing])
}

export type Part<T> = { state: 'loading' } | { state: 'ready'; value: T } | { state: 'missing' }

/** A part of the page that is loaded when it is needed. If it cannot be loaded, the page says so, and goes on. */
export function usePart<T>(load: () => Promise<T>, key: string): Part<T> {
  const model = useModel()
  const [part, setPart] = useState<Part<T>>({ state: 'loading' })
  useEffect(() => {
    let isWanted = true
    load().then(
      (value) => isWanted && setPart({ state: 'ready', value }),
      (error: unknown) => {
        if (!isWanted) return
        setPart({ state: 'missing' })
        model.tellMissing(error)
      },
    )
    return () => {
      isWanted = false
    }
    // `load` is another function at each drawing; `key` says when it loads another thing.
  }, [key])
  return part
}

/** The numbers and names of a language, as texts. */
export interface Texts {
  words: Words
  size: (bytes: number) => string
  count: (count: number) => string
  /** The friendly name of a peer. */
  friend: (name: string) => string
  device: (device: string) => string
  /** A time of today, or a date with its time. */
  time: (at: number) => string
}

export function useTexts(): Texts {
  const words = useWords()
  const { language } = words
  return {
    words,
    size: (bytes) => sizeText(bytes, language),
    count: (count) => countText(count, language),
    friend: (name) => {
      const { colour, animal } = friendlyName(name)
      return words.guestName(colour, animal)
    },
    device: (device) => {
      const parts = deviceParts(device)
      return parts === undefined ? device : words.device(parts.browser, parts.system)
    },
    time: (at) => timeText(at, language),
  }
}

/** The content as a URL, for as long as the view is shown. */
export function useObjectUrl(blob: Blob | undefined): string | undefined {
  const [url, setUrl] = useState<string>()
  useEffect(() => {
    if (blob === undefined) return undefined
    const made = URL.createObjectURL(blob)
    setUrl(made)
    return () => URL.revokeObjectURL(made)
  }, [blob])
  return url
}
