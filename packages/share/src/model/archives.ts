import type { Received, ShareSession, TransferFile } from '@peerage/client/transfer'

/** A zip archive that is to be saved. `content` is undefined if it could not be completed. */
export interface Archive {
  id: number
  session: ShareSession
  content: Blob | undefined
}

/** The content of a received file that is to be saved. */
export function blobOf({ state }: TransferFile): Blob | undefined {
  return state.name === 'complete' && state.received?.kind === 'blob' ? state.received.blob : undefined
}

/** Ends each zip archive when all of its files have ended, and keeps those that were made in memory. */
export class Archives {
  readonly #listeners = new Set<() => void>()
  #all: readonly Archive[] = []
  #next = 1

  of(session: ShareSession): readonly Archive[] {
    return this.#all.filter((one) => one.session === session)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  watch(session: ShareSession, keys: readonly string[], end: () => Promise<Received>): void {
    const wanted = new Set(keys)
    const stop = session.transfer.onChange(() => {
      const isOpen = session.transfer.state.items.some(
        ({ key, ...item }) =>
          item.kind === 'file' &&
          wanted.has(key) &&
          item.state.name !== 'complete' &&
          item.state.name !== 'ended',
      )
      if (isOpen) return
      stop()
      end().then(
        (received) => received.kind === 'blob' && this.#add(session, received.blob),
        (error: unknown) => {
          console.warn(error)
          this.#add(session, undefined)
        },
      )
    })
  }

  #add(session: ShareSession, content: Blob | undefined): void {
    this.#all = [...this.#all, { id: this.#next++, session, content }]
    for (const listener of this.#listeners) listener()
  }
}
