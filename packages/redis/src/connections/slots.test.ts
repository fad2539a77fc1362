import { expect, test } from 'vitest'
import { SlotMap, slotOf } from './slots.js'

// Redis Cluster specification, appendix A: CRC16("123456789") is 0x31C3.
test.each([
  ['123456789', 0x31c3 % 16_384],
  ['', 0],
  ['{user1000}.following', slotOf('user1000')],
  ['foo{}{bar}', slotOf('foo{}{bar}')],
  ['foo{{bar}}zap', slotOf('{bar')],
  ['foo{bar}{zap}', slotOf('bar')],
])('the slot of %j', (key, slot) => {
  expect(slotOf(key)).toBe(slot)
})

const answer = [
  [0, 8_000, ['10.0.0.1', 7000, 'id1'], ['10.0.0.2', 7000, 'id2']],
  [8_001, 16_383, ['10.0.0.3', 7001, 'id3']],
]

test('CLUSTER SLOTS tells the master of each channel', () => {
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
  'what is no answer to CLUSTER SLOTS is refused: %j',
  (input) => {
    expect(SlotMap.read(input)).toBeUndefined()
  },
)
