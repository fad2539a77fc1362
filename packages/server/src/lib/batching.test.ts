import { expect, test } from 'vitest'
import { Batching } from './batching.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'

const times = (batching: Batching, count: number): boolean[] =>
  Array.from({ length: count }, () => batching.add())

test('batching begins with a burst, and lasts for a moment after it', async () => {
  const clock = new FakeClock()
  const batching = new Batching(3, clock)
  expect(times(batching, 4)).toEqual([false, false, false, true])
  await clock.advance(99)
  expect(batching.add()).toBe(true)
  await clock.advance(1)
  expect(batching.add()).toBe(false)
})

test('what comes evenly is not batched', async () => {
  const clock = new FakeClock()
  const batching = new Batching(3, clock)
  for (let ms = 0; ms < 50; ms++) {
    expect(times(batching, 3)).not.toContain(true)
    await clock.advance(1)
  }
})
