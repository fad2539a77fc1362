import { fakeClock } from '@peerage/core/testing'
import { expect, test } from 'vitest'
import { Topology } from './topology.js'

/** Counts the looks; each is answered by the test. */
function newTopology() {
  const clock = fakeClock()
  const answers: ((slots: unknown) => void)[] = []
  let looks = 0
  const topology = new Topology({
    askSlots: () => new Promise((resolve) => answers.push(resolve)),
    clock,
    onSlots: () => looks++,
    settled: () => true,
    onError: (error) => expect.unreachable(String(error)),
  })
  topology.start()
  return {
    clock,
    topology,
    looks: () => looks,
    answer: async () => {
      answers.shift()?.([[0, 16_383, ['10.0.0.1', 7000, 'id']]])
      await clock.advance(0)
    },
  }
}

test('[EAR4] [F9] doubts that do not end do not put the look at the slots off', async () => {
  const { clock, topology, looks, answer } = newTopology()
  await clock.advance(0)
  await answer()
  expect(looks()).toBe(1)
  for (let ms = 0; ms < 20; ms++) {
    topology.doubt()
    await clock.advance(1)
    await answer()
  }
  expect(looks()).toBeGreaterThan(1)
})

test('[EAR4] [F9] a doubt while the slots are read is another look soon, not in a second', async () => {
  const { clock, topology, looks, answer } = newTopology()
  await clock.advance(0)
  topology.doubt()
  await answer()
  await clock.advance(100)
  await answer()
  expect(looks()).toBe(2)
  await clock.advance(999)
  await answer()
  expect(looks()).toBe(2)
  topology.doubt()
  await clock.advance(5)
  await answer()
  expect(looks()).toBe(3)
})
