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

test('[EAR4] [F9] after a doubt the slots are looked at for a second: who is asked may not have heard yet', async () => {
  const { clock, topology, looks, answer } = newTopology()
  await clock.advance(0)
  // What is being read now may have been said before the doubt.
  topology.doubt()
  await answer()
  for (let look = 2; look <= 11; look++) {
    await clock.advance(100)
    await answer()
    expect(looks()).toBe(look)
  }
  await clock.advance(999)
  expect(looks()).toBe(11)
  await clock.advance(1)
  await answer()
  expect(looks()).toBe(12)
})
