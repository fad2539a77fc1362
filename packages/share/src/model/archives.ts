import type { Received, ShareSession, TransferFile } from '@peerage/client/transfer'
import type { StoreKind } from '../storage/storage.js'

/** A zip archive that has ended. */
export interface Archive {
  id: number
  session: ShareSession
  /** Of the files that were to go into it. */
  keys: readonly string[]
  /** How it ended. `save`: it was made in memory, and is to be saved. `isDownload`: it is among the downloads. */
  end:
    | { name: 'save'; content: Blob; isSaved: boolean }
    | { name: 'saved'; where: string; isDownload: boolean }
    | { name: 'failed' }
}

/** The content of a received file that is to be saved. */
export function blobOf({ state }: TransferFile): Blob | undefined {
  return state.name === 'complete' && state.received?.kind === 'blob' ? state.received.blob : undefined
}

/** Ends each zip archive when all of its files have ended, and keeps what became of it. */
export class Archives {
  readonly #listeners = new Set<() => void>()
  #all: readonly Archive[] = []
  #next = 1

  of(session: ShareSession): readonly Archive[] {
    return this.#all.filter((one) => one.session === session)
  }

  /** Whether an archive is in memory only. */
  hasUnsaved(session: ShareSession): boolean {
    return this.of(session).some(({ end }) => end.name === 'save' && !end.isSaved)
  }

  /** The person has saved the archive, or does not want it any more. */
  markSaved(id: number): void {
    this.#all = this.#all.map((one) =>
      one.id === id && one.end.name === 'save' ? { ...one, end: { ...one.end, isSaved: true } } : one,
    )
    this.#tell()
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  watch(session: ShareSession, keys: readonly string[], kind: StoreKind, end: () => Promise<Received>): void {
    const wanted = new Set(keys)
    const stop = session.transfer.onChange(() => {
      const isOpen = session.transfer.state.items.some(
        (item) =>
          item.kind === 'file' &&
          wanted.has(item.key) &&
          item.state.name !== 'complete' &&
          item.state.name !== 'ended',
      )
      if (isOpen) return
      stop()
      end().then(
        (received) =>
          this.#add(
            session,
            keys,
            received.kind === 'blob'
              ? { name: 'save', content: received.blob, isSaved: false }
              : { name: 'saved', where: received.where, isDownload: kind === 'zip-download' },
          ),
        (error: unknown) => {
          console.warn(error)
          this.#add(session, keys, { name: 'failed' })
        },
      )
    })
  }

  #add(session: ShareSession, keys: readonly string[], end: Archive['end']): void {
    this.#all = [...this.#all, { id: this.#next++, session, keys, end }]
    this.#tell()
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }
}
