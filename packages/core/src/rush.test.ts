import { expect, test } from 'vitest'
import { Rush } from './rush.js'
import { fakeClock } from './testing/index.js'

const times = (rush: Rush, count: number): boolean[] => Array.from({ length: count }, () => rush.add())

test('a rush begins over so many within ten milliseconds, and lasts into the next ten', async () => {
  const clock = fakeClock()
  const rush = new Rush(2, clock)
  expect(times(rush, 20)).not.toContain(true)
  expect(rush.add()).toBe(true)
  await clock.advance(10)
  expect(rush.add()).toBe(true)
  await clock.advance(10)
  expect(rush.add()).toBe(false)
})

test('what came before a pause does not count', async () => {
  const clock = fakeClock()
  const rush = new Rush(2, clock)
  times(rush, 30)
  await clock.advance(20)
  expect(rush.add()).toBe(false)
})
