import { createHash } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { open } from 'node:fs/promises'
import { BLOCK_BYTES, StoreError, type OfferedFile, type Target } from '../types.js'
import type { Hashes } from './journal.js'

// A file that is whole since an earlier try: a receiver that was killed between two files goes on with the second.

/** Whether a file on disk looks like the offered one. Only its hashes say whether it is the same. */
export const looksSame = (found: Stats, { size, modifiedAt }: OfferedFile): boolean =>
  found.isFile() && found.size === size && Math.round(found.mtimeMs) === modifiedAt

/** The place of a file that is there already. Undefined: nothing that looks like it is there. */
export async function openExisting(
  place: string,
  found: Stats | undefined,
  file: OfferedFile,
): Promise<Target | undefined> {
  if (found === undefined || !looksSame(found, file)) return undefined
  const kept = await hashBlocks(place, file)
  if (kept === undefined) return undefined
  return {
    kept,
    inOrder: false,
    put: () => Promise.reject(new StoreError('exists', `${file.path} exists already`)),
    // The sender's root was compared with these hashes.
    finish: () => Promise.resolve({ kind: 'saved', where: place }),
    discard: () => Promise.resolve(),
    close: () => Promise.resolve(),
  }
}

/** Undefined: the file is shorter by now. */
async function hashBlocks(place: string, { size }: OfferedFile): Promise<Hashes | undefined> {
  const hashes: Hashes = new Map()
  const data = await open(place, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0))
  try {
    const buffer = Buffer.allocUnsafe(BLOCK_BYTES)
    for (let at = 0; at < size; at += BLOCK_BYTES) {
      const length = Math.min(BLOCK_BYTES, size - at)
      const { bytesRead } = await data.read(buffer, 0, length, at)
      if (bytesRead !== length) return undefined
      const hash = createHash('sha256').update(buffer.subarray(0, length)).digest()
      hashes.set(at / BLOCK_BYTES, new Uint8Array(hash))
    }
  } finally {
    await data.close()
  }
  return hashes
}
