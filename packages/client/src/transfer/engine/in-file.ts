import type { Store, OfferedFile, Target } from '../types.js'
import type { Arrival } from './arrival.js'
import { keepsBlocks } from './reasons.js'
import type { Sums } from './progress.js'
import type { Changed } from './record.js'
import { FileRecord } from './record.js'

/** A file that the other side offers. */
export class InFile {
  readonly record: FileRecord
  store: Store | undefined
  /** While it is being received. */
  arrival: Arrival | undefined
  /** New for each time that the file is accepted. */
  attempt: object = {}
  /** Whether a byte came since it was accepted. */
  hasBytes = false
  /** The opening and closing of its place, one after the other. */
  #work: Promise<void> = Promise.resolve()

  constructor(info: OfferedFile, sums: Sums, changed: Changed) {
    this.record = new FileRecord('in', info, sums, changed)
  }

  get id(): number {
    return this.record.file.id
  }

  get awaitsRoot(): boolean {
    return this.arrival?.awaitsRoot === true
  }

  /** Runs `task` after what is under way with the place of the file. It must not reject. */
  after(task: () => Promise<void>): void {
    this.#work = this.#work.then(task)
  }

  /** Takes the file into a store. */
  accept(store: Store): void {
    this.store = store
    this.attempt = {}
    this.hasBytes = false
    this.record.pause('here', false)
    this.record.phase = { name: 'accepted' }
  }

  /** Leaves the place of a file that has ended. */
  async leave(target: Target): Promise<void> {
    const { phase } = this.record
    if (phase.name !== 'ended' || keepsBlocks(phase.reason)) await target.close()
    else await target.discard()
  }

  /** The sender offers it anew, after an attach or a reload. Returns false if that is another file. */
  offeredAgain(info: OfferedFile): boolean {
    const { record } = this
    const { path, size, modifiedAt } = record.file
    const { phase } = record
    if (path === info.path && size === info.size && modifiedAt === info.modifiedAt) {
      // The sender had ended the file, and has begun anew, such as after a reload.
      if (phase.name === 'ended' && phase.tell === undefined) record.phase = { name: 'offered' }
      return true
    }
    if (record.isActive) return false
    if (phase.name === 'complete') return true
    record.file = info
    record.phase = { name: 'offered' }
    return true
  }
}
