import { expect, test } from 'vitest'
import { Semaphore } from './semaphore.js'
import { settled } from '@peerage/test-support/fake-clock.js'

test('at most two calls run at once, the others follow in order, and a failure frees its place', async () => {
  const semaphore = new Semaphore(2, 3)
  const ends: ((error?: Error) => void)[] = []
  const began: number[] = []
  const runs = [0, 1, 2, 3, 4].map((i) =>
    semaphore.run(
      () =>
        new Promise<number>((resolve, reject) => {
          began.push(i)
          ends[i] = (error) => (error ? reject(error) : resolve(i))
        }),
    ),
  )
  await settled()
  expect(began).toEqual([0, 1])
  expect(semaphore.waiting).toBe(3)
  // As many calls wait as may wait, so this call is refused.
  expect(await semaphore.run(() => Promise.reject(new Error('never run')))).toBeUndefined()
  ends[1]?.()
  ends[0]?.(new Error('no'))
  await expect(runs[0]).rejects.toThrow('no')
  await settled()
  expect(began).toEqual([0, 1, 2, 3])
  for (const end of ends) end()
  await settled()
  ends[4]?.()
  expect(await Promise.all(runs.slice(1))).toEqual([1, 2, 3, 4])
  expect(semaphore.waiting).toBe(0)
})

test('a hundred thousand waiting calls run in order', async () => {
  const semaphore = new Semaphore(1, 100_000)
  const order: number[] = []
  await Promise.all(
    Array.from({ length: 100_000 }, (_, i) =>
      semaphore.run(() => {
        order.push(i)
        return Promise.resolve()
      }),
    ),
  )
  expect(order).toEqual(Array.from({ length: 100_000 }, (_, i) => i))
  expect(semaphore.waiting).toBe(0)
})
