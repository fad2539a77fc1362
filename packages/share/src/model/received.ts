import type { ShareLink, ShareSession, TransferFile } from '@peerage/client/transfer'
import type { StoreChoice, StoreKind } from '../storage/storage.js'
import { Archives, blobOf } from './archives.js'
import type { Archive } from './archives.js'
import { linkOf } from './guest-memory.js'
import type { GuestMemory } from './guest-memory.js'
import type { HadPlace } from './had-files.js'
import { KeptFiles } from './kept-files.js'
import { SavedFiles } from './saved-files.js'
import type { Connection, OpenedStore, Saving } from './world.js'

/** What other peers have sent to this page, and where it went. */
export class Received {
  readonly archives = new Archives()
  readonly saved: SavedFiles
  readonly kept: KeptFiles
  readonly #memory: GuestMemory
  /** What this page has opened as a guest. The sessions of a host are not in it. */
  readonly #opened = new WeakMap<ShareSession, ShareLink | string>()
  #guest: ShareSession | undefined

  constructor(memory: GuestMemory, onChange: () => void) {
    this.#memory = memory
    this.kept = new KeptFiles(onChange)
    this.saved = new SavedFiles((list, keys) => this.#noteSaved(list, keys))
  }

  accept(
    session: ShareSession,
    files: readonly TransferFile[],
    { kind }: StoreChoice,
    { store, endArchive }: OpenedStore,
  ): void {
    const keys = files.map(({ key }) => key)
    session.transfer.accept(keys, store)
    this.saved.setPlace(session.transfer, keys, kind)
    const to = this.#opened.get(session)
    if (kind === 'own-storage' && to !== undefined) this.#memory.accepted(session, to, keys)
    if (endArchive === undefined) return this.#watch(session, keys, kind)
    this.archives.watch(session, keys, kind, async () => {
      const received = await endArchive()
      if (received.kind === 'saved')
        this.#noteHad(session, completeOf(session, keys), { kind, where: received.where })
      return received
    })
  }

  /** Takes files off the list. The person does not need their content any more. */
  remove(session: ShareSession, files: readonly TransferFile[], saving: Saving | undefined): void {
    session.transfer.remove(files.map(({ key }) => key))
    this.#release(session, files, saving)
  }

  /** Removes files that were kept of a share from this browser's own storage. */
  removeKept(session: ShareSession, files: readonly TransferFile[], saving: Saving | undefined): void {
    this.#release(session, files, saving)
    const to = this.#opened.get(session)
    if (to !== undefined) this.#memory.keep(session, to)
  }

  /** Looks at a session of this page as a guest. Once it has ended, the page shows what it has kept of the share. */
  look(session: ShareSession, to: ShareLink | string, connection: Connection): void {
    if (!this.#opened.has(session)) session.transfer.onChange(() => this.#markResumed(session))
    this.#opened.set(session, to)
    this.#guest = session
    if (session.state.name === 'open') return this.kept.forget()
    const link = linkOf(session, to)
    const share = link && connection.shareOf(link)
    if (session.state.name !== 'ended' || share === undefined) return
    connection
      .openSaving()
      .then((saving) => this.kept.look(share, saving))
      .then(() => this.#markKept(session))
      .catch((error: unknown) => console.warn('what this browser has kept cannot be read', error))
  }

  /** Where a file went that this guest has had before. Undefined: it is new. */
  hadIn(session: ShareSession, file: TransferFile): HadPlace | undefined {
    const to = this.#opened.get(session)
    return to === undefined ? undefined : this.#memory.hadIn(session, to, file)
  }

  /** The person has saved an archive that was in memory. */
  saveArchive({ id, session, keys }: Archive, where: string): void {
    this.archives.markSaved(id)
    this.#noteHad(session, completeOf(session, keys), { kind: 'zip-download', where })
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

  #release(session: ShareSession, files: readonly TransferFile[], saving: Saving | undefined): void {
    const keys = files.map(({ key }) => key)
    const to = this.#opened.get(session)
    if (to !== undefined) this.#memory.removed(session, to, keys)
    this.kept.remove(keys)
    for (const content of files.map(blobOf)) if (content !== undefined) saving?.release(content)
  }

  /** Notes which files were saved as they arrived. */
  #watch(session: ShareSession, keys: readonly string[], kind: StoreKind): void {
    const noted = new Set<string>()
    const stop = session.transfer.onChange(() => {
      const files = filesOf(session, keys)
      const isOver = files.every(({ state }) => state.name === 'complete' || state.name === 'ended')
      const fresh = files.filter(({ key, state }) => state.name === 'complete' && !noted.has(key))
      // Each note writes all notes anew, so of many files some are noted at a time.
      if (isOver || fresh.length > noted.size / 20) {
        for (const { key } of fresh) noted.add(key)
        for (const where of new Set(fresh.map(whereOf)))
          if (where !== undefined)
            this.#noteHad(
              session,
              fresh.filter((file) => whereOf(file) === where),
              { kind, where },
            )
      }
      if (isOver) stop()
    })
  }

  /** A click on a link has saved these files of a transfer, or of what was kept. */
  #noteSaved(list: object, keys: readonly string[]): void {
    const session = this.#guest
    if (session === undefined) return
    const wanted = new Set(keys)
    const place: HadPlace = { kind: 'downloads', where: '' }
    if (list === session.transfer) this.#noteHad(session, filesOf(session, keys), place)
    else if (list === this.kept)
      this.#noteHad(
        session,
        this.kept.files.filter(({ key }) => wanted.has(key)),
        place,
      )
  }

  /** So may have been what a reload went on with. The person has not chosen a place for it since. */
  #markResumed(session: ShareSession): void {
    const { transfer } = session
    const saved = transfer.state.items.filter(
      (item) =>
        item.kind === 'file' &&
        blobOf(item) !== undefined &&
        this.saved.placeOf(transfer, item.key) === undefined &&
        !this.saved.has(transfer, item.key) &&
        this.hadIn(session, item) !== undefined,
    )
    if (saved.length > 0)
      this.saved.add(
        transfer,
        saved.map(({ key }) => key),
      )
  }

  /** What was kept may have been saved before a reload. */
  #markKept(session: ShareSession): void {
    const had = this.kept.files.filter((file) => this.hadIn(session, file) !== undefined)
    if (had.length > 0)
      this.saved.add(
        this.kept,
        had.map(({ key }) => key),
      )
  }

  #noteHad(session: ShareSession, files: readonly TransferFile[], place: HadPlace): void {
    const to = this.#opened.get(session)
    if (to !== undefined) this.#memory.had(session, to, files, place)
  }
}

function filesOf({ transfer }: ShareSession, keys: readonly string[]): TransferFile[] {
  const wanted = new Set(keys)
  return transfer.state.items.filter(
    (item): item is TransferFile => item.kind === 'file' && wanted.has(item.key),
  )
}

const completeOf = (session: ShareSession, keys: readonly string[]): TransferFile[] =>
  filesOf(session, keys).filter(({ state }) => state.name === 'complete')

/** The folder of a file that was saved as it arrived. Empty: its own name, which says nothing new. */
function whereOf({ path, state }: TransferFile): string | undefined {
  if (state.name !== 'complete' || state.received?.kind !== 'saved') return undefined
  const { where } = state.received
  return path.endsWith(where) ? '' : where
}
