import { constants } from 'node:fs'
import { access, lstat, readFile, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pathKey, type Segments } from '../paths.js'
import { StoreError, type OfferedFile } from '../types.js'
import { looksSame } from './existing-file.js'
import { FolderNames } from './folder-names.js'
import { findPart, segmentsOf, unclaimed } from './folder-places.js'
import { isForFile } from './journal.js'
import { refuseLeftover } from './part-target.js'
import { refuseExisting } from './placed.js'
import type { SafeFolder } from './safe-folder.js'
import { isSmall } from './small-target.js'
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

/** What is known of the folder while files are checked, so that nothing is asked twice of the disk. */
interface Known {
  folder: SafeFolder
  names: FolderNames
  /** The folders that may be written to. */
  writable: Map<string, Promise<void>>
}

/**
 * Throws what is in the way of one file. Resolves with the bytes that it needs on the disk.
 * @throws StoreError
 */
function checkFile(
  { folder, names, writable }: Known,
  { file, segments, isBegun }: Planned,
  overwrite: boolean,
): Promise<number> {
  const name = segments.join('/')
  return storing(name, async () => {
    const place = await folder.place(segments, false)
    const parent = dirname(place)
    const checking = writable.get(parent) ?? checkWritable(folder, parent)
    writable.set(parent, checking)
    await checking
    const read = async <T>(path: string, act: (path: string) => Promise<T>): Promise<T | undefined> =>
      (await names.mayHave(path)) ? ifThere(() => act(path)) : undefined
    const found = await read(place, (path) => lstat(path))
    if (!overwrite && found !== undefined && looksSame(found, file)) return 0
    refuseExisting(name, found, overwrite)
    if (isSmall(file)) return file.size
    const part = await read(`${place}.part`, (path) => lstat(path))
    const journal = await read(`${place}.part.journal`, (path) => readFile(path))
    if (!isBegun && (part !== undefined || journal !== undefined))
      await refuseLeftover({ part: `${place}.part`, name }, journal, overwrite)
    // The blocks of a sparse file that are not there yet take no room.
    return Math.max(0, file.size - ((isBegun && part?.blocks) || 0) * 512)
  })
}

async function checkWritable(folder: SafeFolder, parent: string): Promise<void> {
  const found = await ifThere(() => stat(parent))
  await access(found === undefined ? await folder.root() : parent, constants.W_OK)
}

/** Looks at each folder on the way once. */
function remembering(folder: SafeFolder): SafeFolder {
  const parents = new Map<string, Promise<string>>()
  return {
    root: () => folder.root(),
    async place(segments, make) {
      const key = segments.slice(0, -1).join('/')
      const parent = parents.get(key) ?? folder.place(segments, make).then(dirname)
      parents.set(key, parent)
      return join(await parent, segments[segments.length - 1] ?? '')
    },
  }
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
  whole: SafeFolder,
  files: readonly OfferedFile[],
  claims: ReadonlyMap<string, string>,
  overwrite: boolean,
): Promise<Unstorable[]> {
  const planned = new Map(claims)
  const unstorable: Unstorable[] = []
  const folder = remembering(whole)
  const names = new FolderNames()
  const known = { folder, names, writable: new Map<string, Promise<void>>() }
  const mayHave = (path: string): Promise<boolean> => names.mayHave(path)
  const room = new Room(folder)
  for (const file of files)
    try {
      const segments = segmentsOf(file)
      const isFor = (start: Buffer): boolean => isForFile(start, file)
      const name = segments.join('/')
      const find = (): Promise<Segments | undefined> =>
        findPart(folder, segments, HEADER_BYTES_MAX, isFor, mayHave)
      const found = isSmall(file) ? undefined : await storing(name, find)
      const place = found ?? unclaimed(segments, planned, '')
      planned.set(pathKey(place), 'planned')
      const plan = { file, segments: place, isBegun: found !== undefined }
      const bytes = await checkFile(known, plan, overwrite)
      await storing(name, () => room.take(place.join('/'), bytes))
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      unstorable.push({ file, error })
    }
  return unstorable
}
