import { SourceError, type Source } from '@peerage/client/transfer'
import { textOf } from './browser-files.js'
import type { StorageDesk } from './storage-desk.js'

/**
 * A file that a person has chosen, as the source of a transfer. `path` is its relative path, such as
 * `file.webkitRelativePath`, or its name.
 */
export function workerSource(desk: StorageDesk, file: File, path: string): Source {
  const { size, type, lastModified } = file
  return {
    info: { path, size, type, modifiedAt: lastModified },
    readBlock: async (index) => {
      try {
        return await desk.ask('read', { file, index, size })
      } catch (error) {
        if (error instanceof SourceError) throw error
        throw new SourceError('unreadable', textOf(error), { cause: error })
      }
    },
  }
}
