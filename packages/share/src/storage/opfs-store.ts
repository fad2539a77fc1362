import {
  StoreError,
  type OfferedFile,
  type Received,
  type Store,
  type Target,
} from '@peerage/client/transfer'
import { storeError } from './failure.js'
import { bytesOf, keptBlocks } from './journal.js'
import { dataName, folderOf, ROOT } from './layout.js'
import type { KeptFile } from './protocol.js'
import type { StorageDesk } from './storage-desk.js'

/** What the browser must have left after a file: it also keeps journals, and other pages of this node. */
export const ROOM_MARGIN_BYTES = 32 * 1024 * 1024
/** Larger files are made at once. Others are made at their first block, so that a thousand files are not open at a time. */
const RESERVED_FROM_BYTES = 16 * 1024 * 1024
/** What nobody came back for is removed after a week. */
const KEPT_MS = 7 * 24 * 60 * 60 * 1000

/** The part of `navigator.storage` that is used here. */
export interface OwnStorage {
  getDirectory(): Promise<FileSystemDirectoryHandle>
  estimate(): Promise<{ quota?: number; usage?: number }>
}

/** A received file that is whole. */
export interface WholeFile {
  file: OfferedFile
  content: Blob
}

/** A store whose files survive a reload of the page. */
export interface OpfsStore extends Store {
  readonly isDurable: true
  /** The files of a share that a reload can go on with, or that were not saved elsewhere yet. */
  keptFiles(share: string): Promise<readonly KeptFile[]>
  /** The files of a share that are whole, with their content, by path. */
  wholeFiles(share: string): Promise<readonly WholeFile[]>
  /** Removes a file of which this store gave the content, once it was saved elsewhere or is not wanted any more. */
  release(content: Blob): Promise<void>
  /** Removes a file that was kept. */
  remove(share: string, id: number): Promise<void>
  /** Removes the files of shares in which nothing was written for a week. Call it when the page starts. */
  sweep(now: number): Promise<void>
}

/**
 * Keeps received files in the browser's own storage. A block counts when it is on disk, so a transfer goes on after a
 * reload or a crash. The whole file is given as a Blob on disk, to be saved by a link and then released.
 *
 * @example
 * const store = opfsStore(desk, navigator.storage)
 * await store.sweep(Date.now())
 */
export function opfsStore(desk: StorageDesk, storage: OwnStorage, bytesMax = Infinity): OpfsStore {
  /** What files without a block yet will take. The browser does not count it as used. */
  const expected = new Map<Target, number>()
  const places = new WeakMap<Blob, { folder: string; id: number }>()

  const open = async (file: OfferedFile, share: string): Promise<Target> => {
    const folder = await folderOf(share)
    const { id, path, size, type, modifiedAt } = file
    const { handle, records } = await desk.ask('open', { folder, file: { id, path, size, type, modifiedAt } })
    const kept = keptBlocks(records)
    const close = (andRemove: boolean): Promise<undefined> => {
      expected.delete(target)
      return desk.ask('close', { handle, andRemove })
    }
    const target: Target = {
      kept,
      inOrder: false,
      put: async (index, { bytes, hash }) => {
        const isRight = await desk.ask('put', { handle, index, bytes, hash })
        if (isRight) expected.delete(target)
        return isRight
      },
      finish: async () => {
        await close(false)
        return received(await contentOf(folder, file))
      },
      discard: () => close(true),
      close: () => close(false),
    }
    const missing = size - bytesOf(kept, size)
    const free = await freeBytes(storage, sum(expected.values()))
    if (missing > free) {
      await close(kept.size === 0)
      throw new StoreError('full', noRoom(missing, free))
    }
    if (missing < RESERVED_FROM_BYTES) expected.set(target, missing)
    else await reserve(handle, close)
    return target
  }

  const reserve = async (
    handle: number,
    close: (andRemove: boolean) => Promise<undefined>,
  ): Promise<void> => {
    try {
      await desk.ask('reserve', { handle })
    } catch (error) {
      await close(false)
      throw error
    }
  }

  const contentOf = async (folder: string, { id, size, type }: OfferedFile): Promise<Blob> => {
    // No block of an empty file comes, so nothing was made for it.
    if (size === 0) return new Blob([], { type })
    try {
      const root = await (await storage.getDirectory()).getDirectoryHandle(ROOT)
      const handle = await (await root.getDirectoryHandle(folder)).getFileHandle(dataName(id))
      const content = (await handle.getFile()).slice(0, size, type)
      places.set(content, { folder, id })
      return content
    } catch (error) {
      throw storeError(error)
    }
  }

  return {
    isDurable: true,
    bytesMax,
    open,
    keptFiles: async (share) => desk.ask('list', { folder: await folderOf(share) }),
    wholeFiles: async (share) => {
      const folder = await folderOf(share)
      const kept = await desk.ask('list', { folder })
      const whole = kept.filter(({ bytesKept, size }) => bytesKept === size)
      whole.sort((a, b) => a.path.localeCompare(b.path, undefined, { numeric: true }))
      return Promise.all(whole.map(async (file) => ({ file, content: await contentOf(folder, file) })))
    },
    release: async (content) => {
      const place = places.get(content)
      places.delete(content)
      if (place !== undefined) await desk.ask('remove', place)
    },
    remove: async (share, id) => {
      await desk.ask('remove', { folder: await folderOf(share), id })
    },
    sweep: async (now) => {
      await desk.ask('sweep', { before: now - KEPT_MS })
    },
  }
}

/** How many bytes a new file may have. `expected` is what others will still take. */
export async function freeBytes(storage: Pick<OwnStorage, 'estimate'>, expected: number): Promise<number> {
  const { quota, usage } = await storage.estimate()
  // A browser that does not tell refuses to write when there is no room.
  if (quota === undefined) return Infinity
  return Math.max(0, quota - (usage ?? 0) - expected - ROOM_MARGIN_BYTES)
}

const received = (blob: Blob): Received => ({ kind: 'blob', blob })

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((total, number) => total + number, 0)

function noRoom(needed: number, free: number): string {
  return `This browser has ${inMegabytes(free)} free for received files, and this file needs ${inMegabytes(needed)}.`
}

/** Whole megabytes, so that the free room is never said to be more than it is. */
const inMegabytes = (bytes: number): string => `${Math.floor(bytes / 1e6)} MB`
