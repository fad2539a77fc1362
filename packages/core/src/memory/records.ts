import type { App } from '@peerage/protocol'
import type { Answers, RecordKind, Records, RecordsPage } from '../records.js'
import type { Store, StoredText } from './store.js'

/** The records of one process. */
export class MemoryRecords implements Records {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async put(
    app: App,
    kind: RecordKind,
    key: string,
    value: string,
    ttlMs: number,
    most: number,
  ): Promise<'put' | 'full'> {
    const records = this.#records(app, kind)
    if (!records.has(key) && records.size >= most) return 'full'
    records.set(key, { text: value, expiresAt: this.#store.now() + ttlMs })
    this.#store.records.set(keyOf(app, kind), records)
    return 'put'
  }

  async get(app: App, kind: RecordKind, keys: readonly string[]): Promise<(string | undefined)[]> {
    const records = this.#records(app, kind)
    return keys.map((key) => records.get(key)?.text)
  }

  async delete(app: App, kind: RecordKind, key: string): Promise<boolean> {
    const records = this.#records(app, kind)
    const was = records.delete(key)
    if (records.size === 0) this.#store.records.delete(keyOf(app, kind))
    return was
  }

  async page(app: App, kind: RecordKind, after: string | undefined, most: number): Promise<RecordsPage> {
    const now = this.#store.now()
    const all = [...this.#records(app, kind)].filter(([key]) => after === undefined || key > after)
    const found = all.sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, most)
    const records = found.map(([key, { text, expiresAt }]) => ({
      key,
      value: text,
      endsInMs: expiresAt - now,
    }))
    const next = all.length > most ? found.at(-1)?.[0] : undefined
    return next === undefined ? { records } : { records, next }
  }

  /** The records that have not ended. Forgets the others. */
  #records(app: App, kind: RecordKind): Map<string, StoredText> {
    this.#store.open()
    const records = this.#store.records.get(keyOf(app, kind)) ?? new Map<string, StoredText>()
    forgetEnded(records, this.#store.now())
    if (records.size === 0) this.#store.records.delete(keyOf(app, kind))
    return records
  }
}

/** The answers of one process. */
export class MemoryAnswers implements Answers {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async begin(app: App, key: string, value: string, ttlMs: number): Promise<string | undefined> {
    this.#store.open()
    const known = this.#store.answers.get(keyOf(app, key))
    if (known !== undefined && known.expiresAt > this.#store.now()) return known.text
    this.#put(app, key, value, ttlMs)
    return undefined
  }

  async finish(app: App, key: string, value: string, ttlMs: number): Promise<void> {
    this.#store.open()
    this.#put(app, key, value, ttlMs)
  }

  async forget(app: App, key: string): Promise<void> {
    this.#store.open()
    this.#store.answers.delete(keyOf(app, key))
  }

  #put(app: App, key: string, text: string, ttlMs: number): void {
    this.#store.answers.set(keyOf(app, key), { text, expiresAt: this.#store.now() + ttlMs })
  }
}

function keyOf(app: App, what: string): string {
  return `${app}#${what}`
}

function forgetEnded(texts: Map<string, StoredText>, now: number): void {
  for (const [key, { expiresAt }] of texts) if (expiresAt <= now) texts.delete(key)
}
