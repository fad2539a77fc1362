import type { App, Name } from '@peerage/protocol'
import type { IndexChange, IndexPage, NameIndex } from '../names/name-index.js'
import { PARTITIONS } from '../names/name-index.js'
import type { Indexed, Store } from './store.js'

/** The index of each app, in one process. */
export class MemoryNameIndex implements NameIndex {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async write(app: App, partition: number, changes: readonly IndexChange[]): Promise<void> {
    const entries = this.#entries(app, partition)
    const now = this.#store.now()
    for (const change of changes) {
      const name = change.type === 'put' ? change.entry.name : change.name
      const epoch = entries.get(name)?.entry.epoch ?? 0
      if (epoch > change.over) continue
      if (change.type === 'drop') {
        if (epoch >= change.from) entries.delete(name)
      } else entries.set(name, { entry: change.entry, expiresAt: now + change.ttlMs })
    }
    if (entries.size === 0) this.#store.index.delete(keyOf(app, partition))
    else this.#store.index.set(keyOf(app, partition), entries)
  }

  async page(app: App, partition: number, after: Name | undefined, most: number): Promise<IndexPage> {
    const entries = [...this.#entries(app, partition).values()].map(({ entry }) => entry)
    const from = after === undefined ? entries : entries.filter(({ name }) => name > after)
    const found = from.sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, most)
    const next = from.length > most ? found.at(-1)?.name : undefined
    return next === undefined ? { entries: found } : { entries: found, next }
  }

  async count(app: App): Promise<number> {
    let count = 0
    for (let partition = 0; partition < PARTITIONS; partition++) count += this.#entries(app, partition).size
    return count
  }

  /** The entries that have not ended. Forgets the others. */
  #entries(app: App, partition: number): Map<Name, Indexed> {
    this.#store.open()
    const entries = this.#store.index.get(keyOf(app, partition)) ?? new Map<Name, Indexed>()
    const now = this.#store.now()
    for (const [name, { expiresAt }] of entries) if (expiresAt <= now) entries.delete(name)
    if (entries.size === 0) this.#store.index.delete(keyOf(app, partition))
    return entries
  }
}

function keyOf(app: App, partition: number): string {
  return `${app}#${partition}`
}
