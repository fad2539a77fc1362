import type { Lease } from './registry.js'
import { expect, test } from 'vitest'
import { SUSPENDED_AT_ONCE, suspendAll } from './suspend-all.js'

const names = Array.from({ length: 5_000 }, () => ({}) as Lease)

/** The end of each suspension that runs. */
function leasesOf(result: (count: number) => boolean) {
  const ends: (() => void)[] = []
  let [count, most, inside] = [0, 0, 0]
  const releaseOrSuspend = async (): Promise<boolean> => {
    const own = ++count
    most = Math.max(most, ++inside)
    await new Promise<void>((resolve) => ends.push(resolve))
    inside--
    return result(own)
  }
  const seen = (): { count: number; most: number } => ({ count, most })
  /** Ends what runs, until nothing runs. */
  const run = async (whole: Promise<void>): Promise<void> => {
    const over = new AbortController()
    void whole.then(() => over.abort())
    while (!over.signal.aborted) {
      for (const end of ends.splice(0)) end()
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  return { releaseOrSuspend, seen, run }
}

test('a node that stops suspends all its names, a bounded number at once', async () => {
  const { seen, run, ...leases } = leasesOf(() => true)
  await run(suspendAll(leases, names))
  expect(seen()).toEqual({ count: 5_000, most: SUSPENDED_AT_ONCE })
})

test('during an outage of the registry, it does not try each name', async () => {
  const { seen, run, ...leases } = leasesOf(() => false)
  await run(suspendAll(leases, names))
  expect(seen().count).toBeLessThan(2 * SUSPENDED_AT_ONCE)
})

test('single failures stop nothing', async () => {
  const { seen, run, ...leases } = leasesOf((count) => count % 3 === 0)
  await run(suspendAll(leases, names))
  expect(seen().count).toBe(5_000)
})
