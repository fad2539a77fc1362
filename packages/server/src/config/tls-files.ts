import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { Clock, Timer } from '@peerage/core'
import { reasonOf } from '../lib/reason.js'

/** A file that the configuration names and that cannot be used. */
export class UnusableFile extends Error {
  override readonly name = 'UnusableFile'
}

/** PEM texts. */
export interface TlsTexts {
  ca?: string
  cert?: string
  key?: string
}

/** Files that belong together: `tls.cert` and `tls.key`, or those of `redis`. Null: not configured. */
export interface TlsPaths {
  ca?: string | null
  cert?: string | null
  key?: string | null
}

interface FileSet {
  section: string
  paths: TlsPaths
  /** What is in use. */
  texts: TlsTexts
  use: (texts: TlsTexts) => void
  /** Why the files as they are now cannot be used; said once. */
  told: string | undefined
}

export interface TlsFilesOptions {
  clock: Clock
  /** `validTo`: when the new certificate ends; undefined where only an authority is new. */
  onRenewed: (section: string, validTo: string | undefined) => void
  /** The files cannot be used, and the old ones stay in use. */
  onError: (error: UnusableFile) => void
}

/** Programs that renew certificates write the files one after the other; by the next look they are complete. */
const LOOK_EVERY_MS = 5_000

/**
 * The TLS files of a node. They are read again every few seconds and when an operator asks for it. New ones hold for new
 * connections; open ones stay as they are. What cannot be used leaves the old ones in use.
 */
export class TlsFiles {
  readonly #options: TlsFilesOptions
  readonly #sets: FileSet[] = []
  #timer: Timer | undefined

  constructor(options: TlsFilesOptions) {
    this.#options = options
  }

  /** Reads files and remembers them; `use` takes them when they have changed. Throws UnusableFile. */
  add(section: string, paths: TlsPaths, use: (texts: TlsTexts) => void): TlsTexts {
    const texts = readTls(section, paths)
    this.#sets.push({ section, paths, texts, use, told: undefined })
    return texts
  }

  get none(): boolean {
    return this.#sets.length === 0
  }

  /** Begins to look at the files; once. */
  start(): void {
    if (this.#timer !== undefined || this.none) return
    const look = (): void => {
      for (const set of this.#sets) this.#read(set)
      this.#timer = this.#options.clock.after(LOOK_EVERY_MS, look)
    }
    this.#timer = this.#options.clock.after(LOOK_EVERY_MS, look)
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** Looks at once, and says also what it has said before. */
  readAgain(): void {
    for (const set of this.#sets) {
      set.told = undefined
      this.#read(set)
    }
  }

  #read(set: FileSet): void {
    try {
      const texts = readTls(set.section, set.paths)
      set.told = undefined
      if (texts.cert === set.texts.cert && texts.key === set.texts.key && texts.ca === set.texts.ca) return
      set.use(texts)
      set.texts = texts
      const { cert } = texts
      this.#options.onRenewed(set.section, cert === undefined ? undefined : new X509Certificate(cert).validTo)
    } catch (error) {
      const why = reasonOf(error)
      if (set.told === why) return
      set.told = why
      this.#options.onError(new UnusableFile(`${why}; what was read before stays in use`))
    }
  }
}

/** For one look, which nothing follows. */
export function unwatchedFiles(clock: Clock): TlsFiles {
  return new TlsFiles({ clock, onRenewed: () => {}, onError: () => {} })
}

/** Reads files that belong together. Throws UnusableFile, also where they do not fit each other. */
export function readTls(section: string, paths: TlsPaths): TlsTexts {
  const texts: TlsTexts = {}
  const named: string[] = []
  for (const part of ['ca', 'cert', 'key'] as const) {
    const path = paths[part] ?? null
    if (path === null) continue
    texts[part] = readPem(`${section}.${part}`, path)
    named.push(`${section}.${part} (${path})`)
  }
  try {
    createSecureContext(texts)
  } catch (error) {
    throw new UnusableFile(`${named.join(' and ')} cannot be used: ${reasonOf(error)}`)
  }
  return texts
}

function readPem(setting: string, path: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new UnusableFile(`${setting} (${path}) cannot be read: ${reasonOf(error)}`)
  }
  if (text.includes('-----BEGIN ')) return text
  throw new UnusableFile(`${setting} (${path}) is not a PEM file`)
}
