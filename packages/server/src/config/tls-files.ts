import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { Clock, Timer } from '@peerage/core'
import { reasonOf } from '../lib/reason.js'
import { unreadable } from '../lib/unreadable.js'

/** The configuration names a file that cannot be used. */
export class UnusableFile extends Error {
  override readonly name = 'UnusableFile'
}

/** PEM texts. */
export interface TlsTexts {
  ca?: string
  cert?: string
  key?: string
}

/** Files that belong together: `tls.cert` and `tls.key`, or those of `redis`. Null means not configured. */
export interface TlsPaths {
  ca?: string | null
  cert?: string | null
  key?: string | null
}

interface FileSet {
  section: string
  paths: TlsPaths
  /** The texts in use. */
  texts: TlsTexts
  use: (texts: TlsTexts) => void
  /** The last reported reason why the files cannot be used. Each reason is reported once. */
  reported: string | undefined
}

export interface TlsFilesOptions {
  clock: Clock
  /** `validTo` is the end of the new certificate. Undefined if the files are only an authority. */
  onRenewed: (section: string, validTo: string | undefined) => void
  /** Called when the files cannot be used. The texts in use do not change. */
  onError: (error: UnusableFile) => void
}

/**
 * How often the files are read again. Programs that renew certificates write the files one after the other. If a read
 * falls between two writes, the next read finds the files complete.
 */
const READ_EVERY_MS = 5_000

/**
 * The TLS files of a node. They are read again every few seconds, and when an operator asks for it. New files apply to
 * new connections, and open connections stay as they are. If new files cannot be used, the old ones stay in use.
 */
export class TlsFiles {
  readonly #options: TlsFilesOptions
  readonly #sets: FileSet[] = []
  #timer: Timer | undefined

  constructor(options: TlsFilesOptions) {
    this.#options = options
  }

  /** Reads files and watches them. `use` is called when they have changed. Throws UnusableFile. */
  add(section: string, paths: TlsPaths, use: (texts: TlsTexts) => void): TlsTexts {
    const texts = readTls(section, paths)
    this.#sets.push({ section, paths, texts, use, reported: undefined })
    return texts
  }

  get none(): boolean {
    return this.#sets.length === 0
  }

  /** Starts to read the files again and again. Does nothing if called twice. */
  start(): void {
    if (this.#timer !== undefined || this.none) return
    const readAll = (): void => {
      for (const set of this.#sets) this.#read(set)
      this.#timer = this.#options.clock.after(READ_EVERY_MS, readAll)
    }
    this.#timer = this.#options.clock.after(READ_EVERY_MS, readAll)
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** Reads the files at once. Also reports problems that were reported before. */
  readAgain(): void {
    for (const set of this.#sets) {
      set.reported = undefined
      this.#read(set)
    }
  }

  #read(set: FileSet): void {
    try {
      const texts = readTls(set.section, set.paths)
      set.reported = undefined
      if (texts.cert === set.texts.cert && texts.key === set.texts.key && texts.ca === set.texts.ca) return
      set.use(texts)
      set.texts = texts
      const { cert } = texts
      this.#options.onRenewed(set.section, cert === undefined ? undefined : new X509Certificate(cert).validTo)
    } catch (error) {
      const why = reasonOf(error)
      if (set.reported === why) return
      set.reported = why
      this.#options.onError(new UnusableFile(`${why}; the files that were read before stay in use`))
    }
  }
}

/** TLS files that are read only once. */
export function unwatchedFiles(clock: Clock): TlsFiles {
  return new TlsFiles({ clock, onRenewed: () => {}, onError: () => {} })
}

/** Reads files that belong together. Throws UnusableFile, also if they do not fit each other. */
export function readTls(section: string, paths: TlsPaths): TlsTexts {
  const texts: TlsTexts = {}
  const named: string[] = []
  for (const file of ['ca', 'cert', 'key'] as const) {
    const path = paths[file] ?? null
    if (path === null) continue
    texts[file] = readPem(`${section}.${file}`, path)
    named.push(`${section}.${file} (${path})`)
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
    throw new UnusableFile(`${setting} (${path}) ${unreadable(path, error)}`)
  }
  if (text.includes('-----BEGIN ')) return text
  throw new UnusableFile(`${setting} (${path}) is not a PEM file`)
}
