import { FakeClock } from '@peerage/test-support/fake-clock.js'
import slotOf from 'cluster-key-slot'
import { expect, test } from 'vitest'
import { SlotMap, Topology } from './topology.js'

/** Counts the reads of the slots. The test answers each. */
function newTopology() {
  const clock = new FakeClock()
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

test('[EAR4] [F9] repeated reports of moved slots do not delay the next read', async () => {
  const { clock, topology, looks, answer } = newTopology()
  await clock.advance(0)
  await answer()
  expect(looks()).toBe(1)
  for (let ms = 0; ms < 20; ms++) {
    topology.suspectMove()
    await clock.advance(1)
    await answer()
  }
  expect(looks()).toBeGreaterThan(1)
})

test('[EAR4] [F9] after a report of a moved slot the slots are read every 100 ms for a second', async () => {
  const { clock, topology, looks, answer } = newTopology()
  await clock.advance(0)
  // The answer that is pending may be older than the report.
  topology.suspectMove()
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

// Redis Cluster specification, appendix A: CRC16("123456789") is 0x31C3.
test.each([
  ['123456789', 0x31c3 % 16_384],
  ['', 0],
  ['{user1000}.following', slotOf('user1000')],
  ['foo{{bar}}zap', slotOf('{bar')],
  ['foo{bar}{zap}', slotOf('bar')],
])('the slot of %j', (key, slot) => {
  expect(slotOf(key)).toBe(slot)
})

const answer = [
  [0, 8_000, ['10.0.0.1', 7000, 'id1'], ['10.0.0.2', 7000, 'id2']],
  [8_001, 16_383, ['10.0.0.3', 7001, 'id3']],
]

test('the answer to CLUSTER SLOTS gives the master of each channel', () => {
  const map = SlotMap.read(answer)
  expect([...(map?.masters ?? [])]).toEqual(['10.0.0.1:7000', '10.0.0.3:7001'])
  expect(map?.owner('123456789')).toBe(slotOf('123456789') > 8_000 ? '10.0.0.3:7001' : '10.0.0.1:7000')
})

test('two maps differ when a slot has another master', () => {
  const [one, other] = [SlotMap.read(answer), SlotMap.read([[0, 16_383, ['10.0.0.1', 7000, 'id1']]])]
  if (!one || !other) return expect.unreachable()
  expect(one.differs(other)).toBe(true)
  expect(one.differs(one)).toBe(false)
})

test.each([[undefined], [[]], [[[0, 1]]], [[[0, 1, ['', 7000]]]], [['x']], [[['0', 1, ['h', 1]]]]])(
  'anything but an answer to CLUSTER SLOTS is refused: %j',
  (input) => {
    expect(SlotMap.read(input)).toBeUndefined()
  },
)

test('a channel is found for each master', () => {
  const map = SlotMap.read(answer)
  const found = map?.oneEach((word) => `pg:canary:${word}`) ?? new Map<string, string>()
  expect([...found.keys()].sort()).toEqual(['10.0.0.1:7000', '10.0.0.3:7001'])
  for (const [master, channel] of found) expect(map?.owner(channel)).toBe(master)
})
