import { BLOCK_BYTES, type OfferedFile, type Store, type Target } from '@peerage/client/transfer'
import { nameOf } from './browser-files.js'
import { storeError } from './failure.js'
import type { StorageDesk } from './storage-desk.js'

/** A file that a person has chosen with `showSaveFilePicker`. The file that is received replaces its content. */
export function pickerStore(desk: StorageDesk, handle: FileSystemFileHandle): Store {
  const place = { handle, where: handle.name, remove: () => Promise.resolve() }
  return {
    isDurable: false,
    bytesMax: Infinity,
    open: (file) => Promise.resolve(writableTarget(desk, file, () => Promise.resolve(place))),
  }
}

/** Where a file is written. */
export interface Place {
  handle: FileSystemFileHandle
  /** For people. */
  where: string
  /** Removes the file if it was made for this place. */
  remove(): Promise<void>
}

interface Writing {
  place: Place
  writable: FileSystemWritableFileStream
}

/**
 * Writes blocks at their positions. The browser writes them to a file beside the chosen one, and replaces it at the end,
 * so a file that was given up leaves the old content as it was. The place is opened when the first bytes come.
 */
export function writableTarget(
  desk: StorageDesk,
  file: OfferedFile,
  openPlace: () => Promise<Place>,
): Target {
  let writing: Promise<Writing> | undefined
  let isOver = false
  const open = (): Promise<Writing> => (writing ??= openPlace().then(beginWriting))
  const abort = async (): Promise<void> => {
    if (isOver) return
    isOver = true
    if (writing !== undefined) await giveUp(await writing)
  }
  return {
    kept: new Map(),
    inOrder: false,
    put: async (index, block) => {
      const { isRight, bytes } = await desk.ask('check', { ...block, crc: 0 })
      const position = index * BLOCK_BYTES
      if (!isRight || isOver || position + bytes.length > file.size) return false
      const { writable } = await open()
      await inWords(() => writable.write({ type: 'write', position, data: bytes }))
      return true
    },
    finish: async () => {
      const { writable, place } = await open()
      isOver = true
      await inWords(() => writable.close())
      return { kind: 'saved', where: place.where }
    },
    discard: abort,
    // What was written so far is in a file that only the browser sees.
    close: abort,
  }
}

async function beginWriting(place: Place): Promise<Writing> {
  try {
    return { place, writable: await place.handle.createWritable({ keepExistingData: false }) }
  } catch (error) {
    await place.remove()
    throw storeError(error)
  }
}

async function giveUp({ place, writable }: Writing): Promise<void> {
  try {
    await writable.abort()
  } catch (error) {
    // After a write that failed, the browser has given up by itself.
    if (nameOf(error) === '') throw error
  }
  await inWords(() => place.remove())
}

async function inWords<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw storeError(error)
  }
}
