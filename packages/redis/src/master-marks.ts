import type { OnError } from '@peerage/core'
import type { Commands } from './connections/commands.js'
import type { Keys } from './keys.js'
import type { SlotMap } from './connections/topology.js'
import { masterMarkScript } from './scripts/nodes.js'

export interface MasterMarksOptions {
  commands: Commands
  keys: Keys
  /** How long a mark lasts after the last beat, in milliseconds. */
  retentionMs: number
  onError: OnError
}

/**
 * Notices when a master of a Cluster has lost its data. Each master holds a mark with the time at which it was
 * created. The first node that finds none creates it. If a mark has changed, that master has lost its names.
 */
export class MasterMarks {
  readonly #options: MasterMarksOptions
  /** The marks: key, and time as of the last check. */
  #marks = new Map<string, number>()
  #masters = new Set<string>()

  constructor(options: MasterMarksOptions) {
    this.#options = options
  }

  /** Finds a key on each master for its mark. */
  arrange(slots: SlotMap): void {
    const keys = slots.oneEach((word) => this.#options.keys.birth(word))
    this.#marks = new Map([...keys.values()].map((key) => [key, this.#marks.get(key) ?? 0]))
    this.#masters = slots.masters
  }

  /** The time of the youngest mark, in Redis milliseconds; 0: none is known. */
  get latest(): number {
    return Math.max(0, ...this.#marks.values())
  }

  /** Reads the marks. Returns false if not all of them could be read. */
  async check(): Promise<boolean> {
    const marks = this.#marks
    const read = await Promise.all([...marks.keys()].map((key) => this.#read(key, marks)))
    return read.every((ok) => ok) && marks.size === this.#masters.size
  }

  async #read(key: string, marks: Map<string, number>): Promise<boolean> {
    const { commands, retentionMs, onError } = this.#options
    try {
      const mark = Number(await commands.script(masterMarkScript, key, [retentionMs]))
      if (!Number.isFinite(mark)) throw new Error(`the mark ${key} does not hold a time`)
      marks.set(key, mark)
      return true
    } catch (error) {
      onError(error, { stage: 'master mark' })
      return false
    }
  }
}
