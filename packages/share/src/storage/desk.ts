import { crc32 } from './crc32.js'
import { digest, isEqual } from './digest.js'
import { storeFailure } from './failure.js'
import type { OwnFiles } from './own-files.js'
import type { Desk, Outcome, TaskName, Tasks } from './protocol.js'
import { readBlock } from './read-block.js'

/** Does the tasks in a worker, or on a page whose worker did not start. Such a page has no `files`. */
export function createDesk(files: OwnFiles | undefined): Desk {
  return {
    check: ({ bytes, hash, crc }) =>
      outcome<'check'>(async () => {
        const isRight = isEqual(await digest(bytes), hash)
        return { isRight, bytes, crc: isRight ? crc32(bytes, crc) : crc }
      }),
    read: ({ file, index, size }) => readBlock(file, index, size),
    open: ({ folder, file }) => withFiles<'open'>(files, (own) => own.open(folder, file)),
    reserve: ({ handle }) => withFiles<'reserve'>(files, (own) => nothing(own.reserve(handle))),
    put: ({ handle, index, bytes, hash }) =>
      withFiles<'put'>(files, (own) => own.put(handle, index, bytes, hash)),
    close: ({ handle, andRemove }) =>
      withFiles<'close'>(files, (own) => nothing(own.close(handle, andRemove))),
    list: ({ folder }) => withFiles<'list'>(files, (own) => own.list(folder)),
    remove: ({ folder, id }) => withFiles<'remove'>(files, (own) => nothing(own.remove(folder, id))),
    sweep: ({ before }) => withFiles<'sweep'>(files, (own) => nothing(own.sweep(before))),
  }
}

async function nothing(done: Promise<void>): Promise<undefined> {
  await done
  return undefined
}

async function outcome<K extends TaskName>(work: () => Promise<Tasks[K]['answer']>): Promise<Outcome<K>> {
  try {
    return { ok: true, answer: await work() }
  } catch (error) {
    return { ok: false, failure: storeFailure(error) }
  }
}

async function withFiles<K extends TaskName>(
  files: OwnFiles | undefined,
  work: (files: OwnFiles) => Promise<Tasks[K]['answer']>,
): Promise<Outcome<K>> {
  if (files !== undefined) return outcome<K>(() => work(files))
  const message = 'This browser has no storage of its own for files.'
  return { ok: false, failure: { kind: 'store', reason: 'failed', message } }
}
