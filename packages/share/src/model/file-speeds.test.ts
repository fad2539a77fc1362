import type { TransferFile } from '@peerage/client/transfer'
import { expect, test } from 'vitest'
import { FileSpeeds } from './file-speeds.js'

const file = (key: string, bytesDone: number, isMoving = true): TransferFile => ({
  kind: 'file',
  key,
  id: 1,
  path: key,
  size: 1_000_000,
  type: '',
  direction: 'in',
  bytesDone,
  state: { name: 'accepted', isMoving },
})

test('the speed of a file is that of the last seconds', () => {
  const speeds = new FileSpeeds()
  speeds.look([file('a', 0)], 0)
  expect(speeds.of('a')).toBe(0)
  for (let second = 1; second <= 10; second++) speeds.look([file('a', second * 1000)], second * 1000)
  expect(speeds.of('a')).toBe(1000)
  // It stands still.
  for (let second = 11; second <= 15; second++) speeds.look([file('a', 10_000)], second * 1000)
  expect(speeds.of('a')).toBe(0)
})

test('each file has its own, and a file that waits has none', () => {
  const speeds = new FileSpeeds()
  speeds.look([file('a', 0), file('b', 0), file('c', 0, false)], 0)
  speeds.look([file('a', 500), file('b', 1000), file('c', 0, false)], 1000)
  expect(['a', 'b', 'c'].map((key) => speeds.of(key))).toEqual([500, 1000, 0])
  speeds.look([file('a', 500, false), file('b', 1000)], 2000)
  expect(speeds.of('a')).toBe(0)
})

test('after a resume, what was there before does not count as fast', () => {
  const speeds = new FileSpeeds()
  speeds.look([file('a', 900_000)], 0)
  speeds.look([file('a', 901_000)], 1000)
  expect(speeds.of('a')).toBe(1000)
})
