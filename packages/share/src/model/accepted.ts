import type { ShareLink, ShareSession, Store } from '@peerage/client/transfer'
import type { TabMemory } from './world.js'

const keyOf = ({ name, fragment }: ShareLink): string => `peerage-share-accepted ${name} ${fragment}`

/**
 * What the person accepted into the storage that survives a reload, so that the page goes on after a reload without
 * asking again.
 */
export class Accepted {
  readonly #memory: TabMemory

  constructor(memory: TabMemory) {
    this.#memory = memory
  }

  add(link: ShareLink, keys: readonly string[]): void {
    const all = new Set([...this.#read(link), ...keys])
    this.#memory.set(keyOf(link), JSON.stringify([...all]))
  }

  remove(link: ShareLink, keys: readonly string[]): void {
    const gone = new Set(keys)
    const all = [...this.#read(link)]
    const left = all.filter((key) => !gone.has(key))
    if (left.length < all.length) this.#memory.set(keyOf(link), JSON.stringify(left))
  }

  /** Accepts again what was accepted before the reload, as soon as it is offered. */
  resume(link: ShareLink, session: ShareSession, store: Store | undefined): void {
    const waiting = new Set(this.#read(link))
    const look = (): void => {
      const { items } = session.transfer.state
      const cancelled = items
        .filter(
          (item) =>
            item.kind === 'file' && item.state.name === 'ended' && item.state.reason === 'cancelled-here',
        )
        .map(({ key }) => key)
      if (cancelled.length > 0) this.remove(link, cancelled)
      if (waiting.size === 0) return
      const keys = items
        .filter((item) => item.kind === 'file' && item.state.name === 'offered' && waiting.has(item.key))
        .map(({ key }) => key)
      if (keys.length === 0) return
      for (const key of keys) waiting.delete(key)
      if (store !== undefined) session.transfer.accept(keys, store)
    }
    session.transfer.onChange(look)
    look()
  }

  #read(link: ShareLink): ReadonlySet<string> {
    const text = this.#memory.get(keyOf(link))
    if (text === undefined) return new Set()
    let input: unknown
    try {
      input = JSON.parse(text)
    } catch {
      return new Set()
    }
    return new Set(Array.isArray(input) ? input.filter((key) => typeof key === 'string') : [])
  }
}
