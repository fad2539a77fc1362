import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open, readdir, unlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { isAlive } from './part-lock.js'
import { ifThere } from './store-error.js'

// Files that are written whole under a name of the program's own, which no received file has (`reserved-names.ts`).

/** Says which process of which machine writes it, so that a later one knows what a process that was killed has left. */
const NAME = /^\.peerage-new-(\d{1,9})-([0-9a-f]{8})-\d+$/
const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)

/** Those of this process. Another run may have had the same process id. */
const writing = new Set<string>()
let count = 0

/**
 * Writes a new file to disk, and calls `place` with its path, which gives it its name. Whatever happens, nothing is left
 * but what `place` has made.
 */
export async function writeNew(
  folder: string,
  { bytes, modifiedAt }: { bytes: Uint8Array; modifiedAt: number | undefined },
  place: (path: string) => Promise<void>,
): Promise<void> {
  const path = join(folder, `.peerage-new-${process.pid}-${HOST}-${count++}`)
  writing.add(path)
  try {
    const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL)
    try {
      await file.writeFile(bytes)
      if (modifiedAt !== undefined) await file.utimes(new Date(modifiedAt), new Date(modifiedAt))
      await file.sync()
    } finally {
      await file.close()
    }
    await place(path)
  } catch (error) {
    await ifThere(() => unlink(path))
    throw error
  } finally {
    writing.delete(path)
  }
}

/**
 * Removes what processes of this machine have left that were killed while they wrote. What cannot be listed or removed, as
 * in a folder that others write to as well, stays: it is in nobody's way.
 */
export async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const [, id, host] = NAME.exec(name) ?? []
    const path = join(folder, name)
    if (id === undefined || host !== HOST || writing.has(path)) continue
    if (Number(id) === process.pid || !isAlive(Number(id))) await unlink(path).catch(() => undefined)
  }
}
