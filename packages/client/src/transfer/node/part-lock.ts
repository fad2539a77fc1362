import { randomUUID } from 'node:crypto'
import { readFile, rename, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { StoreError } from '../types.js'
import { codeOf, ifThere } from './store-error.js'

// A lock file says which process receives a file. A process that was killed leaves its lock, so it holds the process id.

/** A lock that is still empty after this time is one whose process was killed before it wrote its id. */
const WRITTEN_WITHIN_MS = 5_000
const ATTEMPTS = 5

/** The locks of this process. Another run may have had the same process id. */
const held = new Set<string>()

/**
 * Takes the lock, also from a process that has ended. Resolves with what releases it.
 * @throws StoreError if another process, or this one, holds it
 */
export async function lock(path: string, name: string): Promise<() => Promise<void>> {
  if (held.has(path)) throw new StoreError('failed', `${name} is being received already`)
  held.add(path)
  try {
    for (let attempt = 1; !(await create(path)); attempt++) {
      if (attempt === ATTEMPTS)
        throw new StoreError('failed', `${name}: several processes want to receive it`)
      await removeStale(path, name)
    }
  } catch (error) {
    held.delete(path)
    throw error
  }
  return async () => {
    held.delete(path)
    await ifThere(() => unlink(path))
  }
}

async function create(path: string): Promise<boolean> {
  try {
    await writeFile(path, `${process.pid} ${hostname()}\n`, { flag: 'wx', mode: 0o600 })
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

/** Removes a lock whose process has ended. */
async function removeStale(path: string, name: string): Promise<void> {
  const text = await ifThere(() => readFile(path, 'latin1'))
  if (text === undefined) return
  await refuseIfAlive(path, name, text)
  // Another process may have removed this lock and taken a new one meanwhile: then the new one is put back.
  const aside = join(dirname(path), `.peerage-lock-${randomUUID()}`)
  if ((await ifThere(() => rename(path, aside)).then(() => true)) === undefined) return
  const moved = await ifThere(() => readFile(aside, 'latin1'))
  if (moved !== undefined && moved !== text) await writeFile(path, moved, { flag: 'wx', mode: 0o600 })
  await rm(aside, { force: true })
}

async function refuseIfAlive(path: string, name: string, text: string): Promise<void> {
  const [, id = '', host] = /^(\d{1,9}) (.+)\n$/.exec(text) ?? []
  const advice = `if that is wrong, remove the file ${name}.part.lock`
  if (id === '') {
    const made = await ifThere(() => stat(path))
    if (made === undefined || Date.now() - made.mtimeMs > WRITTEN_WITHIN_MS) return
    throw new StoreError('failed', `${name}: another process begins to receive it; ${advice}`)
  }
  if (host !== hostname())
    throw new StoreError('failed', `${name}: process ${id} of the machine ${host} receives it; ${advice}`)
  if (Number(id) !== process.pid && isAlive(Number(id)))
    throw new StoreError('failed', `${name}: process ${id} receives it; ${advice}`)
}

export function isAlive(id: number): boolean {
  try {
    return process.kill(id, 0)
  } catch (error) {
    // The process of another user may not be signalled.
    return codeOf(error) === 'EPERM'
  }
}
