import type { TransferItem } from '../types.js'
import { FileRecord } from './record.js'
import type { TextRecord } from './texts.js'

/** Files and texts of both directions, in the order in which they came. */
export class Items {
  #items: (FileRecord | TextRecord)[] = []
  readonly #byKey = new Map<string, FileRecord | TextRecord>()

  add(key: string, item: FileRecord | TextRecord): void {
    this.#items.push(item)
    this.#byKey.set(key, item)
  }

  get(key: string): FileRecord | TextRecord | undefined {
    return this.#byKey.get(key)
  }

  /** The files of one direction with these keys, in the order of the keys. */
  files(keys: readonly string[], direction: 'in' | 'out'): FileRecord[] {
    return keys
      .map((key) => this.#byKey.get(key))
      .filter((item) => item instanceof FileRecord)
      .filter((record) => record.direction === direction)
  }

  /** What the application shows. */
  get views(): TransferItem[] {
    return this.#items.map(({ view }) => view)
  }

  /** Lets go of what the application has removed. */
  forgetRemoved(): void {
    for (const { view, isRemoved } of this.#items) if (isRemoved) this.#byKey.delete(view.key)
    this.#items = this.#items.filter(({ isRemoved }) => !isRemoved)
  }
}
