import type { ShareLink, ShareSession, TransferFile } from '@peerage/client/transfer'
import type { StoreChoice } from '../storage/storage.js'
import { Archives, blobOf } from './archives.js'
import type { GuestMemory } from './guest-memory.js'
import { KeptFiles } from './kept-files.js'
import { SavedFiles } from './saved-files.js'
import type { Connection, OpenedStore, Saving } from './world.js'

/** What other peers have sent to this page, and where it went. */
export class Received {
  readonly archives = new Archives()
  readonly saved = new SavedFiles()
  readonly kept: KeptFiles
  readonly #memory: GuestMemory

  constructor(memory: GuestMemory, onChange: () => void) {
    this.#memory = memory
    this.kept = new KeptFiles(onChange)
  }

  /** `to`: what this page opened as a guest. Undefined: it is the host. */
  accept(
    session: ShareSession,
    to: ShareLink | string | undefined,
    files: readonly TransferFile[],
    { kind }: StoreChoice,
    { store, endArchive }: OpenedStore,
  ): void {
    const keys = files.map(({ key }) => key)
    session.transfer.accept(keys, store)
    this.saved.setPlace(session.transfer, keys, kind)
    if (endArchive !== undefined) this.archives.watch(session, keys, kind, endArchive)
    if (kind === 'own-storage' && to !== undefined) this.#memory.accepted(session, to, keys)
  }

  /** Takes files off the list. The person does not need their content any more. */
  remove(
    session: ShareSession,
    to: ShareLink | string | undefined,
    files: readonly TransferFile[],
    saving: Saving | undefined,
  ): void {
    const keys = files.map(({ key }) => key)
    session.transfer.remove(keys)
    if (to !== undefined) this.#memory.removed(session, to, keys)
    this.kept.remove(keys)
    release(files, saving)
  }

  /** Removes files that were kept of a share from this browser's own storage. */
  removeKept(
    session: ShareSession,
    to: ShareLink | string,
    files: readonly TransferFile[],
    saving: Saving | undefined,
  ): void {
    const keys = files.map(({ key }) => key)
    this.#memory.removed(session, to, keys)
    this.kept.remove(keys)
    release(files, saving)
    this.#memory.keep(session, to)
  }

  /** Once a session has ended, the page shows what it has kept of the share. */
  look(session: ShareSession, to: ShareLink | string, connection: Connection): void {
    if (session.state.name === 'open') return this.kept.forget()
    const link = typeof to === 'string' ? session.link : to
    const share = link && connection.shareOf(link)
    if (session.state.name !== 'ended' || share === undefined) return
    connection
      .openSaving()
      .then((saving) => this.kept.look(share, saving))
      .catch((error: unknown) => console.warn('what this browser has kept cannot be read', error))
  }

  /** The person does not want what this session has sent. */
  dismiss(session: ShareSession): void {
    const keys = session.transfer.state.items.map(({ key }) => key)
    this.saved.add(session.transfer, keys)
    for (const { id } of this.archives.of(session)) this.archives.markSaved(id)
  }

  /** Whether a whole file of the session would be lost if the page were closed now. */
  hasUnsaved(session: ShareSession): boolean {
    const { transfer, role } = session
    const isLost = (file: TransferFile): boolean => {
      const place = this.saved.placeOf(transfer, file.key)
      // Only a guest finds again what is in the browser's own storage.
      return place === 'memory' || (place === 'own-storage' && role === 'host')
    }
    const isUnsaved = transfer.state.items.some(
      (item) =>
        item.kind === 'file' &&
        blobOf(item) !== undefined &&
        isLost(item) &&
        !this.saved.has(transfer, item.key),
    )
    return isUnsaved || this.archives.hasUnsaved(session)
  }
}

function release(files: readonly TransferFile[], saving: Saving | undefined): void {
  for (const content of files.map(blobOf)) if (content !== undefined) saving?.release(content)
}
