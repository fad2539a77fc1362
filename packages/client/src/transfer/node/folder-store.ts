import { constants } from 'node:fs'
import { lstat, open as openFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { numbered, pathKey, safePath, type Segments } from '../paths.js'
import { StoreError, type OfferedFile, type Store } from '../types.js'
import { encodeHeader } from './journal.js'
import { openTarget } from './part-target.js'
import { withoutReserved } from './reserved-names.js'
import { safeFolder, type SafeFolder } from './safe-folder.js'
import { ifThere, storing } from './store-error.js'

/** The options of `folderStore`. */
export interface FolderStoreOptions {
  /**
   * Replaces files that exist, and what is left of other transfers. A `NAME.part` that this store has not made is never
   * replaced. Default: false, and such a file ends as an error.
   */
  overwrite?: boolean | undefined
}

/**
 * Receives files into a folder, which is made if it does not exist. Nothing is written outside of it: see `safePath` for
 * the names, and symbolic links below it are not followed.
 *
 * A file is `NAME.part` until it is complete. `NAME.part.journal` says which blocks of it are on disk, so a transfer goes
 * on after a crash of the program or of the machine. Both are removed when the file is complete. A lock file,
 * `NAME.part.lock`, keeps a second process away. A received file with such a name gets a `_`.
 *
 * @param directory - The folder, relative to the working directory.
 *
 * @example
 * import { folderStore } from '@peerage/client/transfer'
 *
 * const store = folderStore('downloads')
 */
export function folderStore(directory: string, { overwrite = false }: FolderStoreOptions = {}): Store {
  const folder = safeFolder(directory)
  /** Which file has which path, so that two files of one name get two paths. */
  const claims = new Map<string, string>()
  return {
    isDurable: true,
    bytesMax: Infinity,
    async open(file, share) {
      const safe = safePath(file.path)
      if (!safe.ok) throw new StoreError('bad-name', `the name ${JSON.stringify(file.path)} ${safe.why}`)
      const wanted = withoutReserved(safe.segments)
      return storing(wanted.join('/'), async () => {
        const owner = JSON.stringify([share, file.id])
        const found = await findPart(folder, file, share, wanted)
        const segments = found?.segments ?? unclaimed(wanted, claims, owner)
        claims.set(pathKey(segments), owner)
        const release = (): void => void claims.delete(pathKey(segments))
        try {
          return await openTarget({ folder, segments, file, share, overwrite, release })
        } catch (error) {
          release()
          throw error
        }
      })
    },
  }
}

function unclaimed(segments: Segments, claims: ReadonlyMap<string, string>, owner: string): Segments {
  for (let number = 1; ; number++) {
    const candidate = numbered(segments, number)
    const claimed = claims.get(pathKey(candidate))
    if (claimed === undefined || claimed === owner) return candidate
  }
}

/** How many numbers are looked at in any case: of names that differ in capitals alone, the second has no first one. */
const NUMBERS_MIN = 2

/** The path at which the same file was begun before. Of several files of one name it may have a number. */
async function findPart(folder: SafeFolder, file: OfferedFile, share: string, segments: Segments) {
  const header = encodeHeader(file, share)
  const parent = dirname(await folder.place(segments, false))
  for (let number = 1; ; number++) {
    const candidate = numbered(segments, number)
    const path = join(parent, candidate[candidate.length - 1] ?? '')
    const journal = await readStart(`${path}.part.journal`, header.length)
    if (journal?.equals(header)) return { segments: candidate }
    if (number < NUMBERS_MIN || journal !== undefined) continue
    if ((await ifThere(() => lstat(path))) === undefined) return undefined
  }
}

async function readStart(path: string, length: number): Promise<Buffer | undefined> {
  const file = await ifThere(() => openFile(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0)))
  if (file === undefined) return undefined
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
