/** A run of blocks: the number of the first one, and how many they are. */
export type BlockRange = readonly [first: number, count: number]

/** A set of block numbers, kept as ranges, so that a set of millions of neighbours takes no room. */
export class BlockSet {
  /** Sorted, and never adjacent. `end` is the number after the last block. */
  #ranges: { start: number; end: number }[] = []
  #size = 0

  /** All blocks from 0 up to `count`, without those in `except`. */
  static all(count: number, except: Iterable<number> = []): BlockSet {
    const set = new BlockSet()
    const sorted = [...except].filter((block) => block >= 0 && block < count).sort((a, b) => a - b)
    let start = 0
    for (const block of sorted) {
      if (block > start) set.#ranges.push({ start, end: block })
      start = block + 1
    }
    if (start < count) set.#ranges.push({ start, end: count })
    for (const range of set.#ranges) set.#size += range.end - range.start
    return set
  }

  /** How many blocks are in the set. */
  get size(): number {
    return this.#size
  }

  /** How many ranges it takes to name them. */
  get rangeCount(): number {
    return this.#ranges.length
  }

  /** The smallest number. */
  get first(): number | undefined {
    return this.#ranges[0]?.start
  }

  has(block: number): boolean {
    const range = this.#ranges[this.#find(block)]
    return range !== undefined && range.start <= block
  }

  /** Adds `count` blocks from `first` on. */
  add(first: number, count = 1): void {
    if (count === 0) return
    const merged = { start: first, end: first + count }
    const from = this.#find(first - 1)
    let to = from
    for (let range = this.#ranges[to]; range !== undefined && range.start <= merged.end;) {
      merged.start = Math.min(merged.start, range.start)
      merged.end = Math.max(merged.end, range.end)
      this.#size -= range.end - range.start
      range = this.#ranges[++to]
    }
    this.#ranges.splice(from, to - from, merged)
    this.#size += merged.end - merged.start
  }

  /** Returns false if the block was not in the set. */
  remove(block: number): boolean {
    const at = this.#find(block)
    const range = this.#ranges[at]
    if (range === undefined || range.start > block) return false
    this.#size--
    if (range.end - range.start === 1) this.#ranges.splice(at, 1)
    else if (range.start === block) range.start++
    else if (range.end === block + 1) range.end--
    else {
      this.#ranges.splice(at + 1, 0, { start: block + 1, end: range.end })
      range.end = block
    }
    return true
  }

  /** The smallest block that is in this set and not in `other`. */
  firstNotIn(other: BlockSet): number | undefined {
    for (const { start, end } of this.#ranges) {
      let block = start
      while (block < end) {
        const covering = other.#ranges[other.#find(block)]
        if (covering === undefined || covering.start > block) return block
        block = covering.end
      }
    }
    return undefined
  }

  /**
   * The set as at most `max` ranges. If it has more, the last one reaches up to the end of the set, and so names blocks
   * that are not in the set.
   */
  ranges(max = Infinity): BlockRange[] {
    const last = this.#ranges.at(-1)
    return this.#ranges
      .slice(0, max)
      .map(({ start, end }, i) => [start, (i === max - 1 && last !== undefined ? last.end : end) - start])
  }

  copy(): BlockSet {
    const set = new BlockSet()
    set.#ranges = this.#ranges.map((range) => ({ ...range }))
    set.#size = this.#size
    return set
  }

  /** The index of the first range that ends after `block`. */
  #find(block: number): number {
    let low = 0
    let high = this.#ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#ranges[middle]?.end ?? 0) > block) high = middle
      else low = middle + 1
    }
    return low
  }
}
