import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { expect, test } from 'vitest'
import { CoarseTimers } from './coarse-timers.js'

function scene() {
  const clock = new FakeClock()
  const due: { atMs: number; keys: string[] }[] = []
  const timers = new CoarseTimers<string>(clock, (keys) => due.push({ atMs: clock.monotonic(), keys }))
  return { clock, due, timers }
}

test('a key becomes due after its time, at most 250 ms late', async () => {
  const { clock, due, timers } = scene()
  await clock.advance(10)
  timers.add('a', 1_000)
  timers.add('b', 1_239)
  timers.add('c', 1_240)
  await clock.advance(2_000)
  expect(due).toEqual([
    { atMs: 1_250, keys: ['a', 'b'] },
    { atMs: 1_500, keys: ['c'] },
  ])
})

test('ten thousand keys of one slot take one timer, and become due together', async () => {
  const { clock, due, timers } = scene()
  for (let i = 0; i < 10_000; i++) timers.add(`${i}`, 30_000)
  expect(clock.pending).toBe(1)
  await clock.advance(30_250)
  expect(due.map(({ keys }) => keys.length)).toEqual([10_000])
  expect(clock.pending).toBe(0)
})

test('of two times for one key the earlier one counts', async () => {
  const { clock, due, timers } = scene()
  timers.add('a', 5_000)
  timers.add('a', 1_000)
  timers.add('a', 9_000)
  expect(clock.pending).toBe(1)
  await clock.advance(20_000)
  expect(due).toEqual([{ atMs: 1_250, keys: ['a'] }])
})

test('a deleted key never becomes due, and a slot without keys has no timer', async () => {
  const { clock, due, timers } = scene()
  timers.add('a', 1_000)
  timers.add('b', 1_000)
  timers.delete('a')
  timers.delete('unknown')
  expect([timers.has('a'), timers.has('b')]).toEqual([false, true])
  await clock.advance(2_000)
  expect(due.map(({ keys }) => keys)).toEqual([['b']])
  timers.add('a', 1_000)
  timers.delete('a')
  expect(clock.pending).toBe(0)
})

test('after stop there is no timer, and a key that is added later has none', () => {
  const { clock, timers } = scene()
  timers.add('a', 1_000)
  timers.stop()
  timers.add('b', 1_000)
  expect(clock.pending).toBe(0)
})
