import type { TransferFile } from '@peerage/client/transfer'
import type { WholeFile } from '../storage/storage.js'
import type { Saving } from './world.js'

/** Whole files of a share in this browser's own storage, which the page shows when there is no session to show them. */
export class KeptFiles {
  readonly #onChange: () => void
  #files: readonly TransferFile[] = []
  #share: string | undefined

  constructor(onChange: () => void) {
    this.#onChange = onChange
  }

  get files(): readonly TransferFile[] {
    return this.#files
  }

  /** Looks for them once, until `forget`: each look gives new contents, and somebody may be saving the old ones. */
  async look(share: string, saving: Saving): Promise<void> {
    if (share === this.#share) return
    this.#share = share
    const whole = await saving.wholeFiles(share)
    if (share !== this.#share) return
    this.#files = whole.map(shown)
    if (whole.length > 0) this.#onChange()
  }

  /** A session shows them now. */
  forget(): void {
    this.#share = undefined
    this.#files = []
  }

  /** They were removed from the storage. */
  remove(keys: readonly string[]): void {
    const gone = new Set(keys)
    this.#files = this.#files.filter(({ key }) => !gone.has(key))
    this.#onChange()
  }

  // Whole files do not move, so nothing can be paused.
  pause(): void {}
  resume(): void {}
  cancel(): void {}
}

/** With the key that a transfer gives to the same file. */
const shown = ({ file, content }: WholeFile): TransferFile => ({
  ...file,
  kind: 'file',
  key: `in-${file.id}`,
  direction: 'in',
  bytesDone: file.size,
  state: { name: 'complete', received: { kind: 'blob', blob: content } },
})
