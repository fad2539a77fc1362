import { createHash } from 'node:crypto'
import { constants, type BigIntStats } from 'node:fs'
import { lstat, open, readdir, realpath, stat, type FileHandle } from 'node:fs/promises'
import { basename, join, resolve, sep } from 'node:path'
import { BLOCK_BYTES, SourceError, type Block, type FileInfo, type Source } from '../types.js'
import { createGate, type Gate } from './gate.js'
import { mediaType } from './media-types.js'

/** The most files of one call: a share takes no more. */
const FILES_MAX = 10_000
/** Of all sources of one call. Each reads one block, so this bounds the memory too. */
const OPEN_FILES_MAX = 8

/** Something that is not offered, and why. */
export interface Skipped {
  /** Its path, as it was found. */
  path: string
  /** Such as `it is a device`. */
  why: string
}

/** The files that were found. */
export interface FileSources {
  /** The files that can be shared. */
  sources: Source[]
  /** What was left out, and why. */
  skipped: Skipped[]
}

/**
 * Finds files to share: each path is a file or a folder, and of a folder all files below it, by name. A file keeps its
 * path from the folder on, as in `photos/2026/cat.jpg`. Empty folders are left out.
 *
 * A symbolic link among `paths` is followed. One below a folder is followed only if it leads to a file of the same
 * folder. Devices, pipes and sockets are skipped. `skipped` says what was left out.
 *
 * A file is open only while a block of it is read. It must not change until it is sent: `readBlock` then throws.
 *
 * @throws SourceError with the reason `unreadable` if one of `paths` does not exist or cannot be read, or if there are
 *   more than 10,000 files
 *
 * @example
 * import { fileSources } from '@peerage/client/transfer'
 *
 * const { sources, skipped } = await fileSources(['report.pdf', 'photos'])
 * for (const { path, why } of skipped) console.error(`${path}: ${why}`)
 */
export async function fileSources(paths: readonly string[]): Promise<FileSources> {
  const search: Search = { sources: [], skipped: [], gate: createGate(OPEN_FILES_MAX) }
  for (const path of paths) {
    const found = await readable(path, () => stat(path, { bigint: true }))
    const name = basename(resolve(path)) || 'files'
    const disk = await readable(path, () => realpath(path))
    if (found.isDirectory()) await searchFolder({ disk, shared: name, root: disk }, search)
    else addFile({ disk, shared: name }, found, search)
    refuseTooMany(search)
  }
  return { sources: search.sources, skipped: search.skipped }
}

interface Search {
  sources: Source[]
  skipped: Skipped[]
  gate: Gate
}

/** A path on this disk, and the same in the share. */
interface Place {
  disk: string
  shared: string
}

/** `root`: the real path of the folder that was named. */
async function searchFolder(folder: Place & { root: string }, search: Search): Promise<void> {
  const names = (await readable(folder.disk, () => readdir(folder.disk))).sort()
  for (const name of names) {
    refuseTooMany(search)
    const place = { ...folder, disk: join(folder.disk, name), shared: `${folder.shared}/${name}` }
    try {
      await searchEntry(place, search)
    } catch (error) {
      if (!(error instanceof SourceError)) throw error
      search.skipped.push({ path: place.disk, why: error.message })
    }
  }
}

async function searchEntry(place: Place & { root: string }, search: Search): Promise<void> {
  const { disk, root } = place
  const found = await readable(disk, () => lstat(disk, { bigint: true }))
  if (found.isDirectory()) return searchFolder(place, search)
  if (!found.isSymbolicLink()) return addFile(place, found, search)
  const target = await readable(disk, () => realpath(disk))
  const isInside = target.startsWith(root.endsWith(sep) ? root : root + sep)
  if (!isInside) return skip(disk, 'it is a symbolic link that leads out of the folder', search)
  const linked = await readable(disk, () => stat(disk, { bigint: true }))
  // Its files are found where they are. Links to folders can also lead in circles.
  if (linked.isDirectory()) return skip(disk, 'it is a symbolic link to a folder', search)
  addFile({ ...place, disk: target }, linked, search)
}

function refuseTooMany({ sources }: Search): void {
  if (sources.length <= FILES_MAX) return
  const most = FILES_MAX.toLocaleString('en')
  throw new SourceError(
    'unreadable',
    `there are more than ${most} files: pack them into one, such as with tar`,
  )
}

const skip = (path: string, why: string, { skipped }: Search): void => void skipped.push({ path, why })

function addFile({ disk, shared }: Place, found: BigIntStats, search: Search): void {
  const kind = kindOf(found)
  if (kind !== 'a file') return skip(disk, `it is ${kind}`, search)
  search.sources.push(fileSource(resolve(disk), shared, found, search.gate))
}

function kindOf(found: BigIntStats): string {
  if (found.isFile()) return 'a file'
  if (found.isFIFO()) return 'a pipe'
  if (found.isSocket()) return 'a socket'
  return found.isBlockDevice() || found.isCharacterDevice() ? 'a device' : 'no file'
}

/** `first`: what the file was like when it was found. */
function fileSource(disk: string, path: string, first: BigIntStats, gate: Gate): Source {
  const size = Number(first.size)
  const info: FileInfo = {
    path,
    size,
    type: mediaType(path),
    modifiedAt: Math.round(Number(first.mtimeNs) / 1e6),
  }
  const readBlock = (index: number): Promise<Block> =>
    gate.run(async () => {
      const length = Math.min(BLOCK_BYTES, size - index * BLOCK_BYTES)
      if (!Number.isSafeInteger(index) || index < 0 || length <= 0)
        throw new RangeError(`${path} has no block ${index}`)
      // A pipe that took the place of the file would block without O_NONBLOCK.
      const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOFOLLOW ?? 0)
      const file = await readable(path, () => open(disk, flags))
      try {
        const bytes = await readable(path, () => readUnchanged(file, index * BLOCK_BYTES, length, first))
        if (bytes === undefined) throw new SourceError('changed', `${path} was changed after it was offered`)
        return { bytes, hash: sha256(bytes) }
      } finally {
        await file.close()
      }
    })
  return { info, readBlock }
}

/** Undefined: the file is not what it was at first, before or after it was read. */
async function readUnchanged(
  file: FileHandle,
  position: number,
  length: number,
  first: BigIntStats,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const isSame = async (): Promise<boolean> => {
    const now = await file.stat({ bigint: true })
    return (['dev', 'ino', 'size', 'mtimeNs', 'mode'] as const).every((field) => now[field] === first[field])
  }
  if (!(await isSame())) return undefined
  const bytes = new Uint8Array(length)
  let done = 0
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done)
    if (bytesRead === 0) return undefined
    done += bytesRead
  }
  return (await isSame()) ? bytes : undefined
}

const sha256 = (bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  new Uint8Array(createHash('sha256').update(bytes).digest())

const EXPLAINED: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist, or was removed',
  ENOTDIR: 'does not exist, or was removed',
  EACCES: 'may not be read by this user',
  EPERM: 'may not be read by this user',
  ELOOP: 'is a symbolic link now, or links lead in circles',
  EMFILE: 'cannot be opened, because this process has too many open files',
}

async function readable<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (cause) {
    if (!(cause instanceof Error) || !('code' in cause)) throw cause
    const why = EXPLAINED[String(cause.code)] ?? `cannot be read: ${cause.message}`
    throw new SourceError('unreadable', `${path} ${why}`, { cause })
  }
}
