import { lstat } from 'node:fs/promises'
import { dirname } from 'node:path'
import {
  BLOCK_BYTES,
  StoreError,
  type Block,
  type OfferedFile,
  type Received,
  type Target,
} from '../types.js'
import { openExisting } from './existing-file.js'
import { writeNew } from './new-file.js'
import { isHash } from './part-file.js'
import { isTime, move, type Placed } from './placed.js'
import { ifThere, storing } from './store-error.js'
import { syncFolder } from './sync-folder.js'

const isTaken = (error: unknown): boolean => error instanceof StoreError && error.reason === 'exists'

/** An empty file has no block, so it has no hash. */
const isHashOf = (bytes: Uint8Array, hash: Uint8Array | undefined): boolean =>
  hash === undefined ? bytes.length === 0 : isHash(bytes, hash)

/** Whether a file has at most one block. */
export const isSmall = ({ size }: OfferedFile): boolean => size <= BLOCK_BYTES

/**
 * The place of a file of at most one block. A transfer that breaks has nothing of it or all of it, so it needs neither a
 * part nor a journal: the block waits in memory for the root, and is written with one sync.
 */
export function smallTarget({ folder, segments, file, overwrite, release, firstUse }: Placed): Target {
  const name = segments.join('/')
  let block: Block | undefined

  async function finish(): Promise<Received> {
    const bytes = block?.bytes ?? new Uint8Array()
    if (bytes.length !== file.size) throw new Error(`${name} is finished before its block has come`)
    const place = await folder.place(segments, true)
    const parent = dirname(place)
    await firstUse(parent)
    const { modifiedAt } = file
    const kept = { bytes, modifiedAt: isTime(modifiedAt) ? modifiedAt : undefined }
    try {
      await writeNew(parent, kept, (part) => move({ part, place, name }, overwrite))
    } catch (error) {
      // Another receiver of the same share may have been faster.
      if (!isTaken(error) || !(await isThere(place))) throw error
    }
    await syncFolder(parent)
    block = undefined
    return { kind: 'saved', where: place }
  }
  /** Whether the very file is at its place. */
  async function isThere(place: string): Promise<boolean> {
    const existing = await openExisting(place, await ifThere(() => lstat(place)), file)
    const bytes = block?.bytes ?? new Uint8Array()
    return existing !== undefined && isHashOf(bytes, existing.kept.get(0))
  }
  return {
    kept: new Map(),
    inOrder: false,
    async put(index, given) {
      if (index !== 0 || given.bytes.length !== file.size || !isHash(given.bytes, given.hash)) return false
      block = given
      return true
    },
    finish: () => storing(name, finish),
    async discard() {
      block = undefined
      release()
    },
    async close() {
      block = undefined
    },
  }
}
