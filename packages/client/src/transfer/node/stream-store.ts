import type { Writable } from 'node:stream'
import { StoreError, type Store } from '../types.js'
import { isHash } from './part-file.js'
import { storing } from './store-error.js'

/**
 * Writes received files to a stream, one after the other and without anything between them. Blocks that come too early
 * are asked for again. The stream stays open at the end.
 *
 * @example
 * import { streamStore } from '@peerage/client/transfer'
 *
 * const store = streamStore(process.stdout)
 */
export function streamStore(writable: Writable): Store {
  /** A file of which a part was written cannot be begun again. */
  let isTorn = false
  return {
    isDurable: false,
    bytesMax: Infinity,
    async open(file) {
      if (isTorn) throw new StoreError('failed', `${file.path}: the stream already has a part of another try`)
      let next = 0
      return {
        kept: new Map(),
        inOrder: true,
        put: (index, block) =>
          storing(file.path, async () => {
            if (index !== next || !isHash(block.bytes, block.hash)) return false
            isTorn = true
            await write(writable, file.path, block.bytes)
            next++
            return true
          }),
        async finish() {
          isTorn = false
          return { kind: 'saved', where: 'the stream' }
        },
        async discard() {},
        async close() {},
      }
    },
  }
}

/** Resolves when the system has taken the bytes: a stream may also keep them, and lose them at the end. */
async function write(writable: Writable, path: string, bytes: Uint8Array): Promise<void> {
  if (writable.destroyed || writable.writableEnded)
    throw new StoreError('failed', `${path}: the stream is closed`)
  await new Promise<void>((resolve, reject) => {
    const closed = (): void => reject(new StoreError('failed', `${path}: the stream was closed`))
    // A stream that fails also emits an error, after it has called back. Nobody else may listen for it.
    writable.on('error', reject).once('close', closed)
    writable.write(bytes, (error) => {
      if (error) return reject(error)
      writable.off('error', reject).off('close', closed)
      resolve()
    })
  })
}
