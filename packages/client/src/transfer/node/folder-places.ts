import { constants } from 'node:fs'
import { lstat, open as openFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { numbered, pathKey, safePath, type Segments } from '../paths.js'
import { StoreError, type OfferedFile } from '../types.js'
import { withoutReserved } from './reserved-names.js'
import type { SafeFolder } from './safe-folder.js'
import { ifThere } from './store-error.js'

// Which path a file gets.

/** @throws StoreError if the name is none for a file of this folder */
export function segmentsOf({ path }: OfferedFile): Segments {
  const safe = safePath(path)
  if (!safe.ok) throw new StoreError('bad-name', `the name ${JSON.stringify(path)} ${safe.why}`)
  return withoutReserved(safe.segments)
}

/** The first path of this name that no other file has. */
export function unclaimed(segments: Segments, claims: ReadonlyMap<string, string>, owner: string): Segments {
  for (let number = 1; ; number++) {
    const candidate = numbered(segments, number)
    const claimed = claims.get(pathKey(candidate))
    if (claimed === undefined || claimed === owner) return candidate
  }
}

/** How many numbers are looked at in any case: of names that differ in capitals alone, the second has no first one. */
const NUMBERS_MIN = 2

/**
 * The path at which the same file was begun before: the one whose journal has the right beginning. Of several files of
 * one name it may have a number. `mayHave` saves looking for what cannot be there.
 */
export async function findPart(
  folder: SafeFolder,
  segments: Segments,
  length: number,
  isRight: (start: Buffer) => boolean,
  mayHave: (path: string) => Promise<boolean> = () => Promise.resolve(true),
): Promise<Segments | undefined> {
  const parent = dirname(await folder.place(segments, false))
  for (let number = 1; ; number++) {
    const candidate = numbered(segments, number)
    const path = join(parent, candidate[candidate.length - 1] ?? '')
    const beside = `${path}.part.journal`
    const journal = (await mayHave(beside)) ? await readStart(beside, length) : undefined
    if (journal !== undefined && isRight(journal)) return candidate
    if (number < NUMBERS_MIN || journal !== undefined) continue
    if (!(await mayHave(path)) || (await ifThere(() => lstat(path))) === undefined) return undefined
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
