import type { ShareLink, ShareSession, Store, TransferItem } from '@peerage/client/transfer'
import type { TabMemory } from './world.js'

const pausedKeyOf = ({ name, fragment }: ShareLink): string => `peerage-share-paused ${name} ${fragment}`
const keyOf = ({ name, fragment }: ShareLink): string => `peerage-share-accepted ${name} ${fragment}`

/**
 * What the person accepted into the storage that survives a reload, and what was paused, so that the page goes on
 * after a reload without asking again.
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

  /** Whether the storage may have files of this share. */
  hasSome(link: ShareLink): boolean {
    return this.#read(link).size > 0
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
    const pausedBefore = this.#readKeys(pausedKeyOf(link))
    const look = (): void => {
      const { items } = session.transfer.state
      // Until a file is accepted again, its pause of before the reload holds.
      const held = [...pausedBefore].filter((key) => waiting.has(key))
      this.#keepPaused(link, [...held, ...pausedHere(items)])
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
      if (store === undefined) return
      session.transfer.accept(keys, store)
      const paused = keys.filter((key) => pausedBefore.has(key))
      if (paused.length > 0) session.transfer.pause(paused)
    }
    session.transfer.onChange(look)
    look()
  }

  #keepPaused(link: ShareLink, keys: readonly string[]): void {
    const text = JSON.stringify(keys)
    if (text !== (this.#memory.get(pausedKeyOf(link)) ?? '[]')) this.#memory.set(pausedKeyOf(link), text)
  }

  #read(link: ShareLink): ReadonlySet<string> {
    return this.#readKeys(keyOf(link))
  }

  #readKeys(name: string): ReadonlySet<string> {
    const text = this.#memory.get(name)
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

const pausedHere = (items: readonly TransferItem[]): string[] =>
  items
    .filter(
      (item) =>
        item.kind === 'file' && item.direction === 'in' && item.state.name === 'paused' && item.state.here,
    )
    .map(({ key }) => key)
