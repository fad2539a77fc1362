import { SourceError } from '@peerage/client/transfer'
import type { Source } from '@peerage/client/transfer'
import { PartMissing } from './model/world.js'
import type { Saving } from './model/world.js'
import type { PageStorage } from './storage/storage.js'

/** The storage, once it has started. */
export interface OpenedStorage {
  storage: PageStorage
  saving: Saving
}

/**
 * The storage of the page, which starts when it is needed: a page shows its link without it. If its code cannot be loaded,
 * the next call tries again.
 */
export class LateStorage {
  readonly #base: string
  readonly #onMissing: (error: unknown) => void
  #opening: Promise<OpenedStorage> | undefined

  /** `base`: the address of the page. `onMissing`: a file must be read, and the code for it could not be loaded. */
  constructor(base: string, onMissing: (error: unknown) => void) {
    this.#base = base
    this.#onMissing = onMissing
  }

  /** Rejects with `PartMissing`. */
  open(): Promise<OpenedStorage> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  /** A file that a person has chosen. It is read when the transfer needs it. */
  source(file: File, path: string): Source {
    const { size, type, lastModified } = file
    let source: Source | undefined
    return {
      info: { path, size, type, modifiedAt: lastModified },
      readBlock: async (index) => {
        source ??= await this.#source(file, path)
        return source.readBlock(index)
      },
    }
  }

  async #source(file: File, path: string): Promise<Source> {
    try {
      const { storage } = await this.open()
      return storage.source(file, path)
    } catch (cause) {
      this.#onMissing(cause)
      throw new SourceError('unreadable', 'A part of the page could not be loaded. Reload the page.', {
        cause,
      })
    }
  }

  async #open(): Promise<OpenedStorage> {
    const { openSaving } = await import('./saving.js').catch((cause: unknown) => {
      throw new PartMissing('the module for storage could not be loaded', { cause })
    })
    return openSaving(this.#base)
  }
}
