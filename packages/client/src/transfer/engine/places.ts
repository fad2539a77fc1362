import type { Store } from '../types.js'

/** Counts the open places of each store [FT25]. */
export class Places {
  readonly #open = new Map<Store, number>()

  /** Whether a store has as many open places as it can have. */
  isFull(store: Store | undefined): boolean {
    return store?.openMax !== undefined && (this.#open.get(store) ?? 0) >= store.openMax
  }

  take(store: Store | undefined): void {
    this.#change(store, 1)
  }

  leave(store: Store | undefined): void {
    this.#change(store, -1)
  }

  #change(store: Store | undefined, by: number): void {
    if (store === undefined) return
    const open = (this.#open.get(store) ?? 0) + by
    if (open > 0) this.#open.set(store, open)
    else this.#open.delete(store)
  }
}
