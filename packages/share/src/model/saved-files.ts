import type { TransferControls } from '@peerage/client/transfer'
import type { StoreKind } from '../storage/storage.js'

/** Which received files the person has saved from the page. Until then, the page has the only copy. */
export class SavedFiles {
  readonly #listeners = new Set<() => void>()
  readonly #keys = new WeakMap<TransferControls, ReadonlySet<string>>()
  readonly #places = new WeakMap<TransferControls, Map<string, StoreKind>>()

  has(transfer: TransferControls, key: string): boolean {
    return this.#keys.get(transfer)?.has(key) === true
  }

  add(transfer: TransferControls, keys: readonly string[]): void {
    this.#keys.set(transfer, new Set([...(this.#keys.get(transfer) ?? []), ...keys]))
    for (const listener of this.#listeners) listener()
  }

  /** Where the person had these files put. */
  setPlace(transfer: TransferControls, keys: readonly string[], kind: StoreKind): void {
    const places = this.#places.get(transfer) ?? new Map<string, StoreKind>()
    for (const key of keys) places.set(key, kind)
    this.#places.set(transfer, places)
  }

  placeOf(transfer: TransferControls, key: string): StoreKind | undefined {
    return this.#places.get(transfer)?.get(key)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
