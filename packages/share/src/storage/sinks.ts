import { safePath, StoreError, type Store } from '@peerage/client/transfer'
import { storeError } from './failure.js'
import type { Downloads } from './downloads-line.js'
import type { Sink } from './sink.js'
import type { StorageDesk } from './storage-desk.js'
import { streamTarget } from './stream-target.js'

/**
 * Files go to the browser's downloads as they arrive, each as one download. Blocks are checked before the browser gets
 * them. If the person cancels the download, the transfer ends with a StoreError.
 */
export function downloadStore(desk: StorageDesk, downloads: Downloads): Store {
  return {
    isDurable: false,
    bytesMax: Infinity,
    open: (file) => {
      const path = safePath(file.path)
      if (!path.ok) return Promise.reject(new StoreError('bad-name', `The path of this file ${path.why}.`))
      const name = path.segments.at(-1) ?? ''
      return Promise.resolve(streamTarget(desk, file, () => downloads.open(name, file.size)))
    },
  }
}

/** A sink that keeps all in memory, and gives it as a Blob. */
export function memorySink(type: string, bytesMax: number): Sink {
  let parts: Uint8Array<ArrayBuffer>[] = []
  let length = 0
  return {
    write: (bytes) => {
      length += bytes.length
      if (length <= bytesMax) parts.push(bytes)
      else
        return Promise.reject(
          new StoreError(
            'full',
            `This page can keep ${Math.floor(bytesMax / 1e6)} MB in memory, and no more.`,
          ),
        )
      return Promise.resolve()
    },
    finish: () => Promise.resolve({ kind: 'blob', blob: new Blob(parts, { type }) }),
    abort: () => {
      parts = []
      return Promise.resolve()
    },
  }
}

/** A sink that is a file which the person has chosen. */
export async function pickedSink(handle: FileSystemFileHandle): Promise<Sink> {
  const inWords = async (work: Promise<void>): Promise<void> => {
    try {
      await work
    } catch (error) {
      throw storeError(error)
    }
  }
  const writable = await handle.createWritable({ keepExistingData: false })
  return {
    write: (bytes) => inWords(writable.write(bytes)),
    finish: async () => {
      await inWords(writable.close())
      return { kind: 'saved', where: handle.name }
    },
    abort: () => inWords(writable.abort()),
  }
}
