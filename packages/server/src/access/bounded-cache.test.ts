import { expect, test } from 'vitest'
import { BoundedCache } from './bounded-cache.js'

const entry = { bytes: 10, endsAt: 1_000 }

test('the least recently used entries leave when there are too many', () => {
  const cache = new BoundedCache<number>({ most: 2, bytesMost: 1_000 })
  cache.set('a', 1, entry)
  cache.set('b', 2, entry)
  expect(cache.get('a', 0)).toBe(1)
  cache.set('c', 3, entry)
  expect([cache.get('a', 0), cache.get('b', 0), cache.get('c', 0)]).toEqual([1, undefined, 3])
})

test('entries leave when they are too large together, also a single one', () => {
  const cache = new BoundedCache<number>({ most: 100, bytesMost: 25 })
  for (const key of ['a', 'b', 'c']) cache.set(key, 1, entry)
  expect(cache.size).toBe(2)
  cache.set('b', 2, { bytes: 26, endsAt: 1_000 })
  expect(cache.size).toBe(0)
  cache.set('d', 4, { bytes: 25, endsAt: 1_000 })
  expect(cache.get('d', 0)).toBe(4)
})

test('an entry ends, and can be set again', () => {
  const cache = new BoundedCache<number>({ most: 2, bytesMost: 100 })
  cache.set('a', 1, entry)
  expect(cache.get('a', 999)).toBe(1)
  expect(cache.get('a', 1_000)).toBeUndefined()
  expect(cache.size).toBe(0)
  cache.set('a', 2, entry)
  cache.clear()
  expect(cache.get('a', 0)).toBeUndefined()
})
