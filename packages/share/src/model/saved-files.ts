import type { TransferControls } from '@peerage/client/transfer'

/** Which received files the person has saved from the page. Until then, the page has the only copy. */
export class SavedFiles {
  readonly #listeners = new Set<() => void>()
  readonly #keys = new WeakMap<TransferControls, ReadonlySet<string>>()

  has(transfer: TransferControls, key: string): boolean {
    return this.#keys.get(transfer)?.has(key) === true
  }

  add(transfer: TransferControls, keys: readonly string[]): void {
    this.#keys.set(transfer, new Set([...(this.#keys.get(transfer) ?? []), ...keys]))
    for (const listener of this.#listeners) listener()
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
