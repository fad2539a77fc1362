import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** The name that a receiver sees. */
export const SPOOL_NAME = 'stdin'

export interface Spool {
  path: string
  remove(): Promise<void>
}

/**
 * Copies a stream into a temporary file, because blocks of it may be read more than once. Only this user can read it.
 * Rejects if the disk is full, or when `signal` aborts. The file is then removed.
 */
export async function spool(stream: Readable, signal: AbortSignal): Promise<Spool> {
  const folder = await mkdtemp(join(tmpdir(), 'peerage-send-'))
  const path = join(folder, SPOOL_NAME)
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true })
  try {
    await pipeline(stream, createWriteStream(path, { mode: 0o600, flags: 'wx' }), { signal })
  } catch (error) {
    await remove()
    throw error
  }
  return { path, remove }
}
