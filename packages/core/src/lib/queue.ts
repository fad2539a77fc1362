/** First in, first out, with a constant cost for each item. A Map or an array would search for its first item, or move all. */
export class Queue<Item> {
  /** The next one is the last one here. */
  #older: Item[] = []
  #newer: Item[] = []

  push(item: Item): void {
    this.#newer.push(item)
  }

  get first(): Item | undefined {
    if (this.#older.length === 0 && this.#newer.length > 0) {
      this.#older = this.#newer.toReversed()
      this.#newer = []
    }
    return this.#older.at(-1)
  }

  /** Removes the first item. */
  shift(): void {
    if (this.first !== undefined) this.#older.pop()
  }
}
