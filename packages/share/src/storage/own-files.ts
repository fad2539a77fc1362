import { BLOCK_BYTES, StoreError } from '@peerage/client/transfer'
import { ifFound, isSyncFile, nameOf, type SyncHandle } from './browser-files.js'
import { digest, isEqual } from './digest.js'
import {
  bytesOf,
  isSameFile,
  keptBlocks,
  readJournal,
  writeHeader,
  writeRecord,
  type Journal,
} from './journal.js'
import { dataName, JOURNAL_ENDING, journalName, ROOT } from './layout.js'
import type { JournalFile, KeptFile } from './protocol.js'

// Files in the browser's own storage (OPFS), as a worker sees them.

/** A reload opens a file again before the browser has ended the worker of the page before. So we wait for up to 3 s. */
const LOCK_TRIES = 30
const LOCK_TRY_MS = 100

interface OpenFile {
  folder: string
  file: JournalFile
  /** Its two files, from the first block on. Before, nothing is locked and nothing is made. */
  locked: Promise<Locked> | undefined
}

interface Locked {
  data: SyncHandle
  journal: SyncHandle
  journalEnd: number
}

export interface OwnFilesOptions {
  getDirectory(): Promise<FileSystemDirectoryHandle>
  wait(milliseconds: number): Promise<void>
}

export class OwnFiles {
  readonly #options: OwnFilesOptions
  readonly #open = new Map<number, OpenFile>()
  #nextHandle = 1

  constructor(options: OwnFilesOptions) {
    this.#options = options
  }

  /** The blocks of a file that were kept. It is opened for writing when its first block comes. */
  async open(
    folder: string,
    file: JournalFile,
  ): Promise<{ handle: number; records: Uint8Array<ArrayBuffer> }> {
    const directory = await ifFound((await this.#root()).getDirectoryHandle(folder))
    const journal = directory && (await journalIn(directory, file.id))
    const handle = this.#nextHandle++
    this.#open.set(handle, { folder, file, locked: undefined })
    const isKept = journal !== undefined && isSameFile(journal.file, file)
    return { handle, records: isKept ? journal.records : new Uint8Array() }
  }

  /** Opens the file for writing before its first block, and takes its whole room. */
  async reserve(handle: number): Promise<void> {
    const open = this.#open.get(handle)
    if (open === undefined) throw closed()
    await this.#lockOnce(open)
  }

  /** Checks a block and keeps it: first the block is flushed, then its record. False: it does not match its hash. */
  async put(
    handle: number,
    index: number,
    bytes: Uint8Array<ArrayBuffer>,
    hash: Uint8Array,
  ): Promise<boolean> {
    const open = this.#open.get(handle)
    if (open === undefined) throw closed()
    const isRight = isEqual(await digest(bytes), hash)
    if (!isRight || index * BLOCK_BYTES + bytes.length > open.file.size) return false
    const locked = await this.#lockOnce(open)
    // It may have been closed meanwhile.
    if (!this.#open.has(handle)) throw closed()
    writeAll(locked.data, bytes, index * BLOCK_BYTES)
    locked.data.flush()
    const record = writeRecord(index, hash)
    writeAll(locked.journal, record, locked.journalEnd)
    locked.journal.flush()
    locked.journalEnd += record.length
    return true
  }

  async close(handle: number, andRemove: boolean): Promise<void> {
    const open = this.#open.get(handle)
    if (open === undefined) return
    this.#open.delete(handle)
    // If it could not be locked, `put` has said so.
    const locked = await open.locked?.catch(() => undefined)
    locked?.data.close()
    locked?.journal.close()
    if (andRemove) await this.remove(open.folder, open.file.id)
  }

  /** The files of a share that were begun. */
  async list(folder: string): Promise<KeptFile[]> {
    const directory = await ifFound((await this.#root()).getDirectoryHandle(folder))
    const kept: KeptFile[] = []
    if (directory === undefined) return kept
    for await (const { name } of directory.values()) {
      if (!name.endsWith(JOURNAL_ENDING)) continue
      const journal = await journalIn(directory, Number.parseInt(name, 10))
      if (journal === undefined) continue
      const { file, records } = journal
      kept.push({ ...file, bytesKept: bytesOf(keptBlocks(records), file.size) })
    }
    return kept
  }

  async remove(folder: string, id: number): Promise<void> {
    const root = await this.#root()
    const directory = await ifFound(root.getDirectoryHandle(folder))
    if (directory !== undefined) await removeFiles(directory, id)
  }

  /** Removes the folders of shares in which nothing was written since `before`. Files that are open stay. */
  async sweep(before: number): Promise<void> {
    const root = await this.#root()
    const old: string[] = []
    for await (const entry of root.values())
      if (entry.kind === 'directory' && (await lastWritten(entry)) < before) old.push(entry.name)
    for (const name of old) await removeIfClosed(root, name)
  }

  async #root(): Promise<FileSystemDirectoryHandle> {
    return (await this.#options.getDirectory()).getDirectoryHandle(ROOT, { create: true })
  }

  async #lockOnce(open: OpenFile): Promise<Locked> {
    open.locked ??= this.#lock(open)
    try {
      return await open.locked
    } catch (error) {
      // The next block tries again.
      open.locked = undefined
      throw error
    }
  }

  /** Opens both files for this worker alone. */
  async #lock({ folder, file }: OpenFile): Promise<Locked> {
    const directory = await (await this.#root()).getDirectoryHandle(folder, { create: true })
    const data = await this.#lockFile(directory, dataName(file.id))
    let journal: SyncHandle | undefined
    let recovered: Recovered | undefined
    try {
      journal = await this.#lockFile(directory, journalName(file.id))
      recovered = recover(data, journal, file)
      // Chromium tells neither its quota nor the room on the disk. It refuses a size that does not fit.
      data.truncate(file.size)
      return { data, journal, journalEnd: recovered.end }
    } catch (error) {
      data.close()
      journal?.close()
      if (recovered?.isNew === true) await removeFiles(directory, file.id)
      throw error
    }
  }

  async #lockFile(directory: FileSystemDirectoryHandle, name: string): Promise<SyncHandle> {
    const file = await directory.getFileHandle(name, { create: true })
    if (!isSyncFile(file))
      throw new StoreError('failed', 'This browser cannot write files of its own storage.')
    for (let tries = 1; ; tries++) {
      try {
        return await file.createSyncAccessHandle()
      } catch (error) {
        if (nameOf(error) !== 'NoModificationAllowedError' || tries >= LOCK_TRIES) throw error
        await this.#options.wait(LOCK_TRY_MS)
      }
    }
  }
}

const closed = (): StoreError => new StoreError('failed', 'The file was closed before its last block came.')

async function journalIn(directory: FileSystemDirectoryHandle, id: number): Promise<Journal | undefined> {
  const journal = await ifFound(directory.getFileHandle(journalName(id)))
  const data = await ifFound(directory.getFileHandle(dataName(id)))
  if (journal === undefined || data === undefined) return undefined
  const bytes = await (await journal.getFile()).arrayBuffer()
  return readJournal(new Uint8Array(bytes), (await data.getFile()).size)
}

interface Recovered {
  /** Where the next record goes. */
  end: number
  isNew: boolean
}

/** Begins a new journal if the one that is there is of another file. */
function recover(data: SyncHandle, journal: SyncHandle, file: JournalFile): Recovered {
  const bytes = new Uint8Array(journal.getSize())
  journal.read(bytes, { at: 0 })
  const found = readJournal(bytes, data.getSize())
  if (found !== undefined && isSameFile(found.file, file)) {
    journal.truncate(found.end)
    return { end: found.end, isNew: false }
  }
  data.truncate(0)
  journal.truncate(0)
  const header = writeHeader(file)
  writeAll(journal, header, 0)
  journal.flush()
  return { end: header.length, isNew: true }
}

/** A full disk can show itself by fewer bytes than were given. */
function writeAll(file: SyncHandle, bytes: Uint8Array<ArrayBuffer>, at: number): void {
  if (file.write(bytes, { at }) !== bytes.length)
    throw new StoreError('full', 'There is no more room for this file in this browser or on this device.')
}

/** The journal goes last: data without a journal would never be found again. */
async function removeFiles(directory: FileSystemDirectoryHandle, id: number): Promise<void> {
  await ifFound(directory.removeEntry(dataName(id)))
  await ifFound(directory.removeEntry(journalName(id)))
}

async function lastWritten(directory: FileSystemDirectoryHandle): Promise<number> {
  let last = 0
  for await (const entry of directory.values())
    if (entry.kind === 'file') last = Math.max(last, (await entry.getFile()).lastModified)
  return last
}

/** Browsers refuse to remove a folder while one of its files is open, in this tab or another. */
async function removeIfClosed(root: FileSystemDirectoryHandle, name: string): Promise<void> {
  try {
    await root.removeEntry(name, { recursive: true })
  } catch (error) {
    if (nameOf(error) !== 'NoModificationAllowedError') throw error
  }
}
