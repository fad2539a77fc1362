import type { StoreKind } from '../storage/storage.js'

/**
 * Which received files the person has saved from the page. Until then, the page has the only copy. A key belongs to its
 * list: a transfer, or the files that were kept.
 */
export class SavedFiles {
  readonly #listeners = new Set<() => void>()
  readonly #keys = new WeakMap<object, ReadonlySet<string>>()
  readonly #places = new WeakMap<object, Map<string, StoreKind>>()

  readonly #onAdd: (list: object, keys: readonly string[]) => void

  constructor(onAdd: (list: object, keys: readonly string[]) => void) {
    this.#onAdd = onAdd
  }

  has(list: object, key: string): boolean {
    return this.#keys.get(list)?.has(key) === true
  }

  add(list: object, keys: readonly string[]): void {
    this.#keys.set(list, new Set([...(this.#keys.get(list) ?? []), ...keys]))
    for (const listener of this.#listeners) listener()
    this.#onAdd(list, keys)
  }

  /** Where the person had these files put. */
  setPlace(list: object, keys: readonly string[], kind: StoreKind): void {
    const places = this.#places.get(list) ?? new Map<string, StoreKind>()
    for (const key of keys) places.set(key, kind)
    this.#places.set(list, places)
  }

  placeOf(list: object, key: string): StoreKind | undefined {
    return this.#places.get(list)?.get(key)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
