import { createHash, randomBytes } from 'node:crypto'
import { BLOCK_BYTES, type Block, type OfferedFile, type Target } from '../transfer/types.js'

// A file of four blocks, for tests of stores in Node.

export const SIZE = 3 * BLOCK_BYTES + 7
export const content = randomBytes(SIZE)

export const fileOf = (path: string, more: Partial<OfferedFile> = {}): OfferedFile => ({
  id: 1,
  path,
  size: SIZE,
  type: '',
  ...more,
})

/** An empty file. */
export const emptyFile = (path: string, more: Partial<OfferedFile> = {}): OfferedFile =>
  fileOf(path, { size: 0, ...more })

export function blockOf(index: number): Block {
  const bytes = new Uint8Array(content.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES))
  return { bytes, hash: new Uint8Array(createHash('sha256').update(bytes).digest()) }
}

/** Puts all blocks that are missing, in no particular order. */
export async function putAll(target: Target): Promise<void> {
  for (const index of [3, 1, 0, 2])
    if (!target.kept.has(index) && !(await target.put(index, blockOf(index))))
      throw new Error(`block ${index} was refused`)
}
