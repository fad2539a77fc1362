import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { expect, test } from 'vitest'
import { Batches, Rush } from './batching.js'

const times = (rush: Rush, count: number): boolean[] => Array.from({ length: count }, () => rush.add())

test('a burst begins when more than the limit comes within 100 ms, and ends after 100 ms with less', async () => {
  const clock = new FakeClock()
  const rush = new Rush(3, clock)
  expect(times(rush, 4)).toEqual([false, false, false, true])
  await clock.advance(99)
  expect(rush.add()).toBe(true)
  await clock.advance(1)
  expect(rush.add()).toBe(true)
  await clock.advance(100)
  expect(rush.add()).toBe(false)
})

test('items from before a pause do not make a burst after it', async () => {
  const clock = new FakeClock()
  const rush = new Rush(3, clock)
  times(rush, 4)
  await clock.advance(200)
  expect(rush.add()).toBe(false)
})

test('the limit within each 100 ms is no burst, however the items are spread', async () => {
  const clock = new FakeClock()
  const rush = new Rush(3, clock)
  for (let ms = 0; ms < 1_000; ms += 100) {
    expect(times(rush, 3)).not.toContain(true)
    await clock.advance(100)
  }
})

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Batches whose sends are recorded, each as its receiver and its items. */
function newBatches() {
  const clock = new FakeClock()
  const sent: string[] = []
  const batches = new Batches<string, number>({
    clock,
    send: (to, items) => void sent.push(`${to}: ${items.join(' ')}`),
  })
  return { batches, clock, sent }
}

test('items that are added in one turn are sent together, in order for each receiver', async () => {
  const { batches, sent } = newBatches()
  batches.add('one', 1)
  batches.add('other', 2)
  await Promise.resolve()
  batches.add('one', 3)
  expect(sent).toEqual([])
  await turn()
  expect(sent).toEqual(['one: 1 3', 'other: 2'])
  batches.add('one', 4)
  await turn()
  expect(sent).toEqual(['one: 1 3', 'other: 2', 'one: 4'])
})

test('a patient item is sent at once if nothing was sent a moment ago', async () => {
  const { batches, clock, sent } = newBatches()
  batches.add('one', 1, true)
  await turn()
  expect(sent).toEqual(['one: 1'])
  await clock.advance(5)
  batches.add('one', 2, true)
  await turn()
  expect(sent).toEqual(['one: 1', 'one: 2'])
})

test('a patient item is sent before the next item to its receiver, and does not wait for other receivers', async () => {
  const { batches, clock, sent } = newBatches()
  batches.add('one', 1)
  await turn()
  batches.add('one', 2, true)
  batches.add('other', 3, true)
  await clock.advance(4)
  await turn()
  expect(sent).toEqual(['one: 1'])
  batches.add('one', 4)
  await turn()
  expect(sent).toEqual(['one: 1', 'one: 2 4'])
  await clock.advance(1)
  expect(sent).toEqual(['one: 1', 'one: 2 4', 'other: 3'])
  expect(clock.pending).toBe(0)
})

test('a flush sends everything that is not patient, and a flush to one receiver sends all of its items', async () => {
  const { batches, sent } = newBatches()
  batches.add('one', 1)
  batches.flush()
  expect(sent).toEqual(['one: 1'])
  batches.add('one', 2, true)
  batches.flush()
  expect(sent).toEqual(['one: 1'])
  batches.flushTo('one')
  batches.flushTo('nobody')
  expect(sent).toEqual(['one: 1', 'one: 2'])
  await turn()
  expect(sent).toEqual(['one: 1', 'one: 2'])
})

test('a stop returns everything that waits, and sends none of it', async () => {
  const { batches, clock, sent } = newBatches()
  batches.add('one', 1)
  batches.flush()
  batches.add('other', 2, true)
  batches.add('one', 3)
  expect(batches.stop()).toEqual([2, 3])
  await turn()
  await clock.advance(5)
  expect(sent).toEqual(['one: 1'])
  expect(clock.pending).toBe(0)
})
