import { afterEach, expect, test, vi } from 'vitest'
import { lock, MemoryLocks } from './locks.js'
import type { Locks } from './locks.js'

const LOCKS: [string, Locks][] = [['of this process', new MemoryLocks()]]
// Node has `navigator.locks` from version 24 on, and a peer with a storage uses them there.
if (globalThis.navigator?.locks) LOCKS.push(['of the platform', globalThis.navigator.locks])

afterEach(() => void vi.useRealTimers())

async function held(locks: Locks, name: string): Promise<() => void> {
  const locked = await lock(locks, name)
  if (typeof locked === 'string') throw new Error(locked)
  return locked.release
}

test.each(LOCKS)('the second caller gets the lock once the first releases it (%s)', async (_, locks) => {
  const release = await held(locks, 'ann')
  const other = await held(locks, 'bob')
  const second = held(locks, 'ann')
  release()
  const releaseSecond = await second
  releaseSecond()
  other()
})

test.each(LOCKS)(
  'a caller that has waited 2 s goes without the lock, and does not hold up the next one (%s)',
  async (_, locks) => {
    const release = await held(locks, 'ann')
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const second = lock(locks, 'ann')
    await vi.advanceTimersByTimeAsync(2_000)
    expect(await second).toBe('taken')
    vi.useRealTimers()
    release()
    const third = await held(locks, 'ann')
    third()
  },
)
