import { StoreError, type Store, type Target } from '@peerage/client/transfer'

/** A store that says what became of its files. */
export interface TrackedStore {
  store: Store
  /** Whether a file was refused because something has its name. */
  hasExisting(): boolean
  /** Whether parts are left that a later try goes on with. */
  hasParts(): boolean
  /** From now on, nothing that has arrived is removed, so that a later try can go on with it. */
  keep(): void
  /** Closes what is still open, so that all that has arrived counts at the next try. */
  close(): Promise<void>
}

export function trackStore(store: Store): TrackedStore {
  const open = new Set<Target>()
  let hasExisting = false
  let hasParts = false
  let isKeeping = false
  const noting = async <T>(act: () => Promise<T>): Promise<T> => {
    try {
      return await act()
    } catch (error) {
      hasExisting ||= error instanceof StoreError && error.reason === 'exists'
      throw error
    }
  }
  const track = (target: Target): Target => {
    let hasBlocks = target.kept.size > 0
    const ended = (): void => void open.delete(tracked)
    const tracked: Target = {
      kept: target.kept,
      inOrder: target.inOrder,
      async put(index, block) {
        const isKept = await target.put(index, block)
        hasBlocks ||= isKept
        return isKept
      },
      finish: () => noting(() => target.finish()).finally(ended),
      discard: () => (isKeeping ? tracked.close() : target.discard().finally(ended)),
      async close() {
        ended()
        hasParts ||= store.isDurable && hasBlocks
        await target.close()
      },
    }
    open.add(tracked)
    return tracked
  }
  return {
    store: {
      isDurable: store.isDurable,
      bytesMax: store.bytesMax,
      open: async (file, share) => track(await noting(() => store.open(file, share))),
    },
    hasExisting: () => hasExisting,
    hasParts: () => hasParts,
    keep: () => void (isKeeping = true),
    close: async () => void (await Promise.all([...open].map((target) => target.close()))),
  }
}
