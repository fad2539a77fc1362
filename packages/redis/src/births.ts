import type { OnError } from '@peerage/core'
import type { Commands } from './connections/commands.js'
import type { Keys } from './keys.js'
import type { SlotMap } from './connections/topology.js'
import { birthScript } from './scripts/nodes.js'

export interface BirthsOptions {
  commands: Commands
  keys: Keys
  /** How long a mark outlives the last beat. */
  retentionMs: number
  onError: OnError
}

/**
 * When each master of a Cluster was last empty: a mark on each of them, made by the first node that misses it. Another
 * mark than before says that this master has lost its names.
 */
export class Births {
  readonly #options: BirthsOptions
  /** The mark of each master: its word, and its value as of the last check. */
  #marks = new Map<string, number>()
  #masters = new Set<string>()

  constructor(options: BirthsOptions) {
    this.#options = options
  }

  /** Finds a key for a mark on each master. */
  arrange(slots: SlotMap): void {
    const keys = slots.oneEach((word) => this.#options.keys.birth(word))
    this.#marks = new Map([...keys.values()].map((key) => [key, this.#marks.get(key) ?? 0]))
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
    const { commands, retentionMs, onError } = this.#options
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
