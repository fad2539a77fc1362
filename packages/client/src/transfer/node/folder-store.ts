import { pathKey } from '../paths.js'
import type { OfferedFile, Store } from '../types.js'
import { checkFiles, type Unstorable } from './folder-check.js'
import { findPart, segmentsOf, unclaimed } from './folder-places.js'
import { encodeHeader } from './journal.js'
import { removeAbandoned } from './new-file.js'
import { openTarget } from './part-target.js'
import { safeFolder } from './safe-folder.js'
import { isSmall } from './small-target.js'
import { storing } from './store-error.js'

/** The options of `folderStore`. */
export interface FolderStoreOptions {
  /**
   * Replaces files that exist, and what is left of other transfers. A `NAME.part` that this store has not made is never
   * replaced. Default: false, and such a file ends as an error.
   */
  overwrite?: boolean | undefined
}

/** A store that writes into a folder. */
export interface FolderStore extends Store {
  /**
   * Finds out which of these files cannot be stored as things are, before one of them is accepted: because of their
   * names, because something has their names, or because they do not fit the disk. If they do not fit together, each file
   * that still fits beside the ones before it counts as storable. It makes the folder.
   * @throws StoreError if the folder cannot be made or read
   */
  check(files: readonly OfferedFile[]): Promise<Unstorable[]>
}

/**
 * Receives files into a folder, which is made if it does not exist. Nothing is written outside of it: see `safePath` for
 * the names, and symbolic links below it are not followed.
 *
 * A file of more than one block is `NAME.part` until it is complete. `NAME.part.journal` says which blocks of it are on
 * disk, so a transfer goes on after a crash of the program or of the machine. Both are removed when the file is complete.
 * A lock file, `NAME.part.lock`, keeps a second process away. A received file with such a name gets a `_`.
 *
 * @param directory - The folder, relative to the working directory.
 *
 * @example
 * import { folderStore } from '@peerage/client/transfer'
 *
 * const store = folderStore('downloads')
 */
export function folderStore(directory: string, { overwrite = false }: FolderStoreOptions = {}): FolderStore {
  const folder = safeFolder(directory)
  /** Which file has which path, so that two files of one name get two paths. */
  const claims = new Map<string, string>()
  const cleaned = new Map<string, Promise<void>>()
  const firstUse = (path: string): Promise<void> => {
    const cleaning = cleaned.get(path) ?? removeAbandoned(path)
    cleaned.set(path, cleaning)
    return cleaning
  }
  return {
    isDurable: true,
    bytesMax: Infinity,
    check: (files) => checkFiles(folder, files, claims, overwrite),
    async open(file, share) {
      const wanted = segmentsOf(file)
      return storing(wanted.join('/'), async () => {
        const owner = JSON.stringify([share, file.id])
        const header = encodeHeader(file, share)
        const isRight = (start: Buffer): boolean => start.equals(header)
        const found = isSmall(file) ? undefined : await findPart(folder, wanted, header.length, isRight)
        const segments = found ?? unclaimed(wanted, claims, owner)
        claims.set(pathKey(segments), owner)
        const release = (): void => void claims.delete(pathKey(segments))
        try {
          return await openTarget({ folder, segments, file, share, overwrite, release, firstUse })
        } catch (error) {
          release()
          throw error
        }
      })
    },
  }
}
