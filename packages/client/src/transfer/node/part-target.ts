import { link, lstat, open as openFile, readFile, rename, rm, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Segments } from '../paths.js'
import { BLOCK_BYTES, StoreError, type OfferedFile, type Received, type Target } from '../types.js'
import { openExisting } from './existing-file.js'
import { encodeHeader, isJournal, readJournal, type Hashes } from './journal.js'
import { checkKept, isHash, openPart, type PartFile } from './part-file.js'
import { lock } from './part-lock.js'
import type { SafeFolder } from './safe-folder.js'
import { codeOf, ifThere, noRoom, storing } from './store-error.js'

// The place of one file in a folder.

export interface Placed {
  folder: SafeFolder
  segments: Segments
  file: OfferedFile
  share: string
  overwrite: boolean
  /** Gives the path to another file of the same name. */
  release: () => void
}

/** The files of a target. `name` is the path for people. */
interface Paths {
  name: string
  place: string
  part: string
  journal: string
  lock: string
  header: Buffer
}

/** What an earlier run has left. `journalBytes` is undefined if it has left nothing. */
interface Begun {
  kept: Hashes
  journalBytes: number | undefined
  unlock: (() => Promise<void>) | undefined
}

/** Opens the place, and finds out which blocks of the file are there already. */
export async function openTarget(placed: Placed): Promise<Target> {
  const { folder, segments, file, share, overwrite } = placed
  const name = segments.join('/')
  const place = await folder.place(segments, false)
  const part = `${place}.part`
  const header = encodeHeader(file, share)
  const existing = overwrite ? undefined : await openExisting(place, file)
  if (existing !== undefined) return existing
  const paths = { name, place, part, journal: `${part}.journal`, lock: `${part}.lock`, header }
  await refuseExisting(paths, overwrite)
  const begun = await readBegun(paths, file, overwrite)
  try {
    await refuseIfFull(await folder.root(), name, file.size - begun.kept.size * BLOCK_BYTES)
  } catch (error) {
    await begun.unlock?.()
    throw error
  }
  return createTarget(placed, paths, begun)
}

async function readBegun(paths: Paths, file: OfferedFile, overwrite: boolean): Promise<Begun> {
  const nothing = { kept: new Map(), journalBytes: undefined, unlock: undefined }
  const blockCount = Math.ceil(file.size / BLOCK_BYTES)
  const found = await ifThere(() => readFile(paths.journal))
  const journal = found && readJournal(found, paths.header, blockCount)
  if (journal?.kind !== 'same') {
    await refuseLeftover(paths, overwrite)
    return nothing
  }
  const unlock = await lock(paths.lock, paths.name)
  try {
    const kept = await ifThere(() => checkKept(paths.part, file, journal.records))
    if (kept !== undefined) return { kept, journalBytes: journal.bytes, unlock }
    await rm(paths.journal)
    return { ...nothing, unlock }
  } catch (error) {
    await unlock()
    throw error
  }
}

/** Files are locked, made and opened at the first block, so that thousands may be accepted at once. */
function createTarget(placed: Placed, paths: Paths, begun: Begun): Target {
  const { folder, segments, file, overwrite } = placed
  const { name, part, journal, header } = paths
  let { unlock, journalBytes } = begun
  let opened: PartFile | undefined

  async function begin(): Promise<PartFile> {
    if (opened !== undefined) return opened
    await folder.place(segments, true)
    unlock ??= await lock(paths.lock, name)
    if (journalBytes === undefined && overwrite) await removeLeftover(paths)
    opened = await openPart({ part, journal, header, journalBytes })
    journalBytes ??= header.length
    return opened
  }
  /** Closes the files, runs `act`, and lets other processes in. */
  async function end(act: () => Promise<void>): Promise<void> {
    const [closing, free] = [opened, unlock]
    opened = unlock = undefined
    try {
      await closing?.close()
      await act()
    } finally {
      await free?.()
    }
  }
  async function finish(): Promise<Received> {
    const file = await begin()
    const { modifiedAt } = placed.file
    if (modifiedAt !== undefined && isTime(modifiedAt)) await file.setModified(modifiedAt)
    await file.flush()
    // The folders are checked once more: they may have become links since the beginning.
    await folder.place(segments, false)
    await end(async () => {
      await move(paths, overwrite)
      await rm(journal, { force: true })
      await syncFolder(dirname(paths.place))
    })
    return { kind: 'saved', where: paths.place }
  }
  return {
    kept: begun.kept,
    inOrder: false,
    put: (index, block) =>
      storing(name, async () => {
        const length = Math.min(BLOCK_BYTES, file.size - index * BLOCK_BYTES)
        if (block.bytes.length !== length || !isHash(block.bytes, block.hash)) return false
        await (await begin()).write(index, block)
        return true
      }),
    finish: () => storing(name, finish),
    discard: () =>
      storing(name, async () => {
        const isOurs = journalBytes !== undefined
        journalBytes = undefined
        await end(async () => {
          if (isOurs) await removeBoth(paths)
        })
        placed.release()
      }),
    close: () => storing(name, () => end(async () => {})),
  }
}

/** Whether a disk can keep this time, in milliseconds since 1970. */
const isTime = (at: number): boolean => Number.isFinite(at) && at >= 0 && at < 1e13

async function removeBoth({ part, journal }: Paths): Promise<void> {
  for (const path of [part, journal]) await rm(path, { force: true })
}

/** Removes what another transfer has left here. A `.part` without a journal of ours is somebody else's file. */
async function removeLeftover(paths: Paths): Promise<void> {
  if ((await leftover(paths)) === 'other') await removeBoth(paths)
}

/** @throws StoreError if the place is taken */
export async function refuseExisting(
  { place, name }: Pick<Paths, 'place' | 'name'>,
  overwrite: boolean,
): Promise<void> {
  const found = await ifThere(() => lstat(place))
  if (found?.isDirectory()) throw new StoreError('exists', `${name} is a folder here already`)
  if (found !== undefined && !overwrite) throw new StoreError('exists', `${name} exists already`)
}

type Beside = Pick<Paths, 'name' | 'part' | 'journal'>

/** Whose the journal is that is here, and not of this file. Undefined: there is none. */
async function leftover({ journal }: Pick<Paths, 'journal'>): Promise<'other' | 'foreign' | undefined> {
  const found = await ifThere(() => readFile(journal))
  return found && (isJournal(found) ? 'other' : 'foreign')
}

/** @throws StoreError if the names beside the file are taken, by what may not be replaced */
export async function refuseLeftover(beside: Beside, overwrite: boolean): Promise<void> {
  const { name, part } = beside
  const journal = await leftover(beside)
  if (journal === undefined && (await ifThere(() => lstat(part))) === undefined) return
  if (journal === 'other' && overwrite) return
  const whose = journal === 'other' ? 'is left of another transfer' : 'exists already'
  const both = journal === undefined ? 'it' : `it and ${name}.part.journal`
  throw new StoreError('exists', `${name}.part ${whose}: remove ${both}`)
}

async function refuseIfFull(root: string, name: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(root)
  if (bytes > bavail * bsize) throw noRoom(name, bytes, bavail * bsize)
}

/** Gives the part its name. A link fails if the name is taken, also if it was taken a moment ago. */
async function move(paths: Paths, overwrite: boolean): Promise<void> {
  const { part, place, name } = paths
  if (overwrite) return rename(part, place)
  try {
    await link(part, place)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') throw new StoreError('exists', `${name} exists already`)
    // Some disks have no links.
    await refuseExisting(paths, false)
    return rename(part, place)
  }
  await rm(part)
}

/** Writes the new name to disk, too. Some systems cannot do this, and need not. */
async function syncFolder(path: string): Promise<void> {
  const folder = await openFile(path, 'r').catch(() => undefined)
  await folder?.sync().catch(() => {})
  await folder?.close()
}
