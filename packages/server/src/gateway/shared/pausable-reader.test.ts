import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { expect, test, vi } from 'vitest'
import { PausableReader } from './pausable-reader.js'

function paused() {
  const ws = {
    isPaused: false,
    pause: () => (ws.isPaused = true),
    resume: () => (ws.isPaused = false),
  }
  const clock = new FakeClock()
  const taken: string[] = []
  const reading = new PausableReader(ws, clock, (frame) => {
    taken.push(frame)
    if (frame.startsWith('pause')) reading.pause(100)
  })
  return { ws, clock, taken, reading }
}

test('frames that come during a pause are handled after it, in order, and may start another pause', async () => {
  const { ws, clock, taken, reading } = paused()
  for (const frame of ['a', 'pause 1', 'b', 'pause 2', 'c']) reading.received(frame)
  expect(taken).toEqual(['a', 'pause 1'])
  await clock.advance(99)
  expect(taken).toEqual(['a', 'pause 1'])
  await clock.advance(1)
  expect(taken).toEqual(['a', 'pause 1', 'b', 'pause 2'])
  expect(ws.isPaused).toBe(true)
  reading.received('d')
  await clock.advance(100)
  expect(taken).toEqual(['a', 'pause 1', 'b', 'pause 2', 'c', 'd'])
  expect(ws.isPaused).toBe(false)
  reading.received('e')
  expect(taken.at(-1)).toBe('e')
})

test('a pause within a pause changes nothing', async () => {
  const { ws, clock, reading } = paused()
  reading.pause(100)
  reading.pause(1_000)
  await clock.advance(100)
  expect(ws.isPaused).toBe(false)
  expect(clock.pending).toBe(0)
})

test('a limited number of frames is held during a pause, and if more come all are dropped', async () => {
  const { clock, taken, reading } = paused()
  const over = vi.fn()
  for (const [frames, times, takes] of [
    [['a', 'b'], 0, ['a', 'b']],
    [['a', 'b', 'c'], 1, []],
    [['a'], 1, ['a']],
  ] as const) {
    taken.length = 0
    reading.pause(100, { frames: 2, over })
    for (const frame of frames) reading.received(frame)
    await clock.advance(99)
    expect(taken).toEqual([])
    await clock.advance(1)
    expect(taken).toEqual(takes)
    expect(over).toHaveBeenCalledTimes(times)
  }
})

test('when the connection ends, all frames that came before are handled', async () => {
  const { clock, taken, reading } = paused()
  for (const frame of ['pause 1', 'b', 'pause 2', 'c']) reading.received(frame)
  reading.ended()
  expect(taken).toEqual(['pause 1', 'b', 'pause 2', 'c'])
  await clock.advance(1_000)
  expect(taken).toHaveLength(4)
})
