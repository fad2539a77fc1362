import { expect, test } from 'vitest'
import { Rush } from './batching.js'
import { fakeClock } from '../testing/index.js'

const times = (rush: Rush, count: number): boolean[] => Array.from({ length: count }, () => rush.add())

test('a rush begins with a burst, and lasts for a moment after it', async () => {
  const clock = fakeClock()
  const rush = new Rush(3, clock)
  expect(times(rush, 4)).toEqual([false, false, false, true])
  await clock.advance(99)
  expect(rush.add()).toBe(true)
  await clock.advance(1)
  expect(rush.add()).toBe(false)
})

test('what comes evenly is no rush', async () => {
  const clock = fakeClock()
  const rush = new Rush(3, clock)
  for (let ms = 0; ms < 50; ms++) {
    expect(times(rush, 3)).not.toContain(true)
    await clock.advance(1)
  }
})
