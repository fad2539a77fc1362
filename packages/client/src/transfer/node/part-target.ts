import { lstat, readFile, rm, statfs, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { BLOCK_BYTES, StoreError, type OfferedFile, type Received, type Target } from '../types.js'
import { openExisting } from './existing-file.js'
import { encodeHeader, isJournal, readJournal, type Hashes } from './journal.js'
import { checkKept, isHash, openPart, type PartFile } from './part-file.js'
import { lock } from './part-lock.js'
import { isTime, move, refuseExisting, type Placed } from './placed.js'
import { isSmall, smallTarget } from './small-target.js'
import { ifThere, noRoom, storing } from './store-error.js'
import { syncFolder } from './sync-folder.js'

// The place of one file in a folder.

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
  const { folder, segments, file, overwrite } = placed
  const name = segments.join('/')
  const place = await folder.place(segments, false)
  const found = await ifThere(() => lstat(place))
  const existing = overwrite ? undefined : await openExisting(place, found, file)
  if (existing !== undefined) return existing
  refuseExisting(name, found, overwrite)
  if (!isSmall(file)) return openParts(placed, place)
  await refuseIfFull(await folder.root(), name, file.size)
  return smallTarget(placed)
}

async function openParts(placed: Placed, place: string): Promise<Target> {
  const { folder, segments, file, share, overwrite } = placed
  const [name, part, header] = [segments.join('/'), `${place}.part`, encodeHeader(file, share)]
  const paths = { name, place, part, journal: `${part}.journal`, lock: `${part}.lock`, header }
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
    await refuseLeftover(paths, found, overwrite)
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
    if (isTime(modifiedAt)) await file.setModified(modifiedAt)
    await file.flush()
    // The folders are checked once more: they may have become links since the beginning.
    await folder.place(segments, false)
    await end(async () => {
      await move(paths, overwrite)
      await ifThere(() => unlink(journal))
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

async function removeBoth({ part, journal }: Paths): Promise<void> {
  for (const path of [part, journal]) await rm(path, { force: true })
}

/** Removes what another transfer has left here. A `.part` without a journal of ours is somebody else's file. */
async function removeLeftover(paths: Paths): Promise<void> {
  const journal = await ifThere(() => readFile(paths.journal))
  if (journal !== undefined && ownerOf(journal) === 'other') await removeBoth(paths)
}

/** Whose a journal is that is not of this file. */
const ownerOf = (journal: Buffer): 'other' | 'foreign' => (isJournal(journal) ? 'other' : 'foreign')

/**
 * @param journal - What is in the journal beside the file, if there is one.
 * @throws StoreError if the names beside the file are taken, by what may not be replaced
 */
export async function refuseLeftover(
  { name, part }: Pick<Paths, 'name' | 'part'>,
  journal: Buffer | undefined,
  overwrite: boolean,
): Promise<void> {
  if (journal === undefined && (await ifThere(() => lstat(part))) === undefined) return
  const owner = journal && ownerOf(journal)
  if (owner === 'other' && overwrite) return
  const whose = owner === 'other' ? 'is left of another transfer' : 'exists already'
  const both = journal === undefined ? 'it' : `it and ${name}.part.journal`
  const reason = owner === 'other' ? 'exists' : 'in-the-way'
  throw new StoreError(reason, `${name}.part ${whose}: remove ${both}`)
}

async function refuseIfFull(root: string, name: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(root)
  if (bytes > bavail * bsize) throw noRoom(name, bytes, bavail * bsize)
}
