import { BLOCK_BYTES, StoreError, type OfferedFile, type Store, type Target } from '@peerage/client/transfer'
import type { Check } from './receiving.js'

/** A store that says what became of its files. */
export interface TrackedStore {
  store: Store
  /** The same check, whose errors count for `hasExisting`. */
  noting(check: Check): Check
  /** Whether a file was refused because something has its name. */
  hasExisting(): boolean
  /** Whether parts are left that a later try goes on with. */
  hasParts(): boolean
  /** Waits for what is being written or removed, and closes the rest, so that all that has arrived counts later. */
  close(): Promise<void>
}

export function trackStore(store: Store): TrackedStore {
  const open = new Set<Target>()
  const ending = new Set<Promise<unknown>>()
  let hasExisting = false
  let hasParts = false

  const noting = async <T>(act: () => Promise<T>): Promise<T> => {
    try {
      return await act()
    } catch (error) {
      hasExisting ||= error instanceof StoreError && error.reason === 'exists'
      throw error
    }
  }
  const track = (target: Target, { size }: OfferedFile): Target => {
    const wasWhole = size > 0 && target.kept.size === Math.ceil(size / BLOCK_BYTES)
    let hasBlocks = target.kept.size > 0
    const ended = <T>(act: () => Promise<T>): Promise<T> => {
      open.delete(tracked)
      const done = noting(act)
      // The caller gets the error.
      const settled: Promise<unknown> = done.catch(() => {}).then(() => ending.delete(settled))
      ending.add(settled)
      return done
    }
    const tracked: Target = {
      kept: target.kept,
      inOrder: target.inOrder,
      async put(index, block) {
        const isKept = await target.put(index, block)
        hasBlocks ||= isKept
        return isKept
      },
      finish: () => ended(() => target.finish()),
      discard: () => {
        // A file of this name, size and time is here, and is another one.
        hasExisting ||= wasWhole
        return ended(() => target.discard())
      },
      close: () =>
        ended(() => {
          hasParts ||= store.isDurable && hasBlocks
          return target.close()
        }),
    }
    open.add(tracked)
    return tracked
  }
  return {
    store: {
      isDurable: store.isDurable,
      bytesMax: store.bytesMax,
      open: async (file, share) => track(await noting(() => store.open(file, share)), file),
    },
    noting: (check) => async (files) => {
      const unstorable = await check(files)
      hasExisting ||= unstorable.some(({ error }) => error.reason === 'exists')
      return unstorable
    },
    hasExisting: () => hasExisting,
    hasParts: () => hasParts,
    async close() {
      await Promise.all(ending)
      await Promise.all([...open].map((target) => target.close()))
    },
  }
}
