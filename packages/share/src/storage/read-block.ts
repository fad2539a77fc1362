import { BLOCK_BYTES } from '@peerage/client/transfer'
import { nameOf, textOf } from './browser-files.js'
import { digest } from './digest.js'
import type { Outcome } from './protocol.js'

const failed = (reason: 'changed' | 'unreadable', message: string): Outcome<'read'> => ({
  ok: false,
  failure: { kind: 'source', reason, message },
})

const CHANGED = 'The file was changed after it was chosen. Choose it again.'

/** Reads and hashes a block of a file. `size` is what the file had when it was offered. */
export async function readBlock(file: Blob, index: number, size: number): Promise<Outcome<'read'>> {
  const start = index * BLOCK_BYTES
  const end = Math.min(start + BLOCK_BYTES, size)
  if (file.size !== size) return failed('changed', CHANGED)
  try {
    const bytes = new Uint8Array(await file.slice(start, end).arrayBuffer())
    // Firefox gives fewer bytes of a file that has become shorter, without an error.
    if (bytes.length !== end - start) return failed('changed', CHANGED)
    return { ok: true, answer: { bytes, hash: await digest(bytes) } }
  } catch (error) {
    switch (nameOf(error)) {
      // Chromium says so if the size or the time of the file is another one.
      case 'NotReadableError':
        return failed('changed', 'The file was changed after it was chosen, or it cannot be read any more.')
      case 'NotFoundError':
      case 'AbortError': // by Firefox
        return failed('unreadable', 'The file was moved, renamed or removed after it was chosen.')
      default:
        return failed('unreadable', `The file cannot be read: ${textOf(error)}`)
    }
  }
}
