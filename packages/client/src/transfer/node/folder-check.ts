import { constants } from 'node:fs'
import { access, lstat, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { pathKey, type Segments } from '../paths.js'
import { StoreError, type OfferedFile } from '../types.js'
import { looksSame } from './existing-file.js'
import { findPart, segmentsOf, unclaimed } from './folder-places.js'
import { isForFile } from './journal.js'
import { refuseExisting, refuseLeftover } from './part-target.js'
import type { SafeFolder } from './safe-folder.js'
import { ifThere, noRoom, storing } from './store-error.js'

// What can be known about a file before it is accepted.

/** A file that a folder cannot take, and why. */
export interface Unstorable {
  /** The file of the offer. */
  file: OfferedFile
  /** Why the folder cannot take it. */
  error: StoreError
}

/** A file, the path that it would get, and whether an earlier run has begun it there. */
interface Planned {
  file: OfferedFile
  segments: Segments
  isBegun: boolean
}

/**
 * Throws what is in the way of one file. Resolves with the bytes that it needs on the disk.
 * @throws StoreError
 */
function checkFile(
  folder: SafeFolder,
  { file, segments, isBegun }: Planned,
  overwrite: boolean,
): Promise<number> {
  const name = segments.join('/')
  return storing(name, async () => {
    const place = await folder.place(segments, false)
    const parent = await ifThere(() => stat(dirname(place)))
    await access(parent === undefined ? await folder.root() : dirname(place), constants.W_OK)
    const found = await ifThere(() => lstat(place))
    if (!overwrite && found !== undefined && looksSame(found, file)) return 0
    await refuseExisting({ place, name }, overwrite)
    const part = `${place}.part`
    if (!isBegun) await refuseLeftover({ part, journal: `${part}.journal`, name }, overwrite)
    // The blocks of a sparse file that are not there yet take no room.
    const there = isBegun ? await ifThere(() => lstat(part)) : undefined
    return Math.max(0, file.size - (there?.blocks ?? 0) * 512)
  })
}

/** The room on the disk that nothing needs yet. */
class Room {
  readonly #folder: SafeFolder
  #disk: { left: number; blockBytes: number } | undefined

  constructor(folder: SafeFolder) {
    this.#folder = folder
  }

  /** Keeps room for a file. @throws StoreError if too little is left */
  async take(name: string, bytes: number): Promise<void> {
    this.#disk ??= await this.#read()
    const { left, blockBytes } = this.#disk
    // A disk gives whole blocks alone, which counts for thousands of small files.
    const needed = Math.ceil(bytes / blockBytes) * blockBytes
    if (needed > left) throw noRoom(name, bytes, left)
    this.#disk.left -= needed
  }

  async #read(): Promise<{ left: number; blockBytes: number }> {
    const { bavail, bsize } = await statfs(await this.#folder.root())
    return { left: bavail * bsize, blockBytes: bsize }
  }
}

/** More than the header of any journal that is for a path of an offer. */
const HEADER_BYTES_MAX = 128 * 1024

/** Finds the files that the folder cannot take. Room is given to the files in their order, as long as they fit. */
export async function checkFiles(
  folder: SafeFolder,
  files: readonly OfferedFile[],
  claims: ReadonlyMap<string, string>,
  overwrite: boolean,
): Promise<Unstorable[]> {
  const planned = new Map(claims)
  const unstorable: Unstorable[] = []
  const room = new Room(folder)
  for (const file of files)
    try {
      const segments = segmentsOf(file)
      const isFor = (start: Buffer): boolean => isForFile(start, file)
      const name = segments.join('/')
      const found = await storing(name, () => findPart(folder, segments, HEADER_BYTES_MAX, isFor))
      const place = found ?? unclaimed(segments, planned, '')
      planned.set(pathKey(place), 'planned')
      const plan = { file, segments: place, isBegun: found !== undefined }
      const bytes = await checkFile(folder, plan, overwrite)
      await storing(name, () => room.take(place.join('/'), bytes))
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      unstorable.push({ file, error })
    }
  return unstorable
}
