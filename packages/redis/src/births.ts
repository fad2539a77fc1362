import type { OnError } from '@peerage/core'
import type { Commands } from './connections/commands.js'
import type { Keys } from './keys.js'
import { birthScript } from './scripts/names.js'
import type { SlotMap } from './connections/slots.js'

export interface BirthsParts {
  commands: Commands
  keys: Keys
  /** How long a mark outlives the last beat. */
  retentionMs: number
  onError: OnError
}

/** With three masters a word misses a shard two times in three; after 500, never. */
const WORDS = 500

/**
 * When each master of a Cluster was last empty: a mark on each of them, made by the first node that misses it. Another
 * mark than before says that this master has lost its names.
 */
export class Births {
  readonly #parts: BirthsParts
  /** The mark of each master: its word, and its value as of the last check. */
  #marks = new Map<string, number>()
  #masters = new Set<string>()

  constructor(parts: BirthsParts) {
    this.#parts = parts
  }

  /** Finds a key for a mark on each master. */
  arrange(slots: SlotMap): void {
    const missing = new Set(slots.masters)
    const marks = new Map<string, number>()
    for (let n = 0; missing.size > 0 && n < WORDS; n++) {
      const key = this.#parts.keys.birth(String(n))
      const master = slots.owner(key)
      if (master !== undefined && missing.delete(master)) marks.set(key, this.#marks.get(key) ?? 0)
    }
    this.#marks = marks
    this.#masters = slots.masters
  }

  /** The time of the youngest mark, in Redis milliseconds; 0: none is known. */
  get latest(): number {
    return Math.max(0, ...this.#marks.values())
  }

  /** Reads the marks. False: not all of them could be read. */
  async check(): Promise<boolean> {
    const marks = this.#marks
    const read = await Promise.all([...marks.keys()].map((key) => this.#read(key, marks)))
    return read.every((ok) => ok) && marks.size === this.#masters.size
  }

  async #read(key: string, marks: Map<string, number>): Promise<boolean> {
    const { commands, retentionMs, onError } = this.#parts
    try {
      const mark = Number(await commands.script(birthScript, key, [retentionMs]))
      if (!Number.isFinite(mark)) throw new Error(`not a time: ${key}`)
      marks.set(key, mark)
      return true
    } catch (error) {
      onError(error, { stage: 'birth' })
      return false
    }
  }
}
