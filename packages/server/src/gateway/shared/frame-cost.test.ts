import fc from 'fast-check'
import { expect, test } from 'vitest'
import { costOf, holdsTooMuch } from './frame-cost.js'

const cost = (value: unknown): number => {
  const frame = JSON.stringify(value)
  return costOf(frame, Buffer.byteLength(frame))
}

test('[WR4] a short frame and a frame with one long string cost their bytes only', () => {
  expect(cost({ to: 'bob', body: 'x' })).toBe(23)
  const body = 'x'.repeat(50_000)
  const send = {
    to: 'bob',
    since: 1_795_958_494_168,
    stream: 'A'.repeat(11),
    seq: 1,
    base: 1,
    kind: 'signal',
  }
  const longest = ['send', { ...send, fresh: true, handshake: 'h'.repeat(32), body }]
  expect(cost(longest)).toBe(JSON.stringify(longest).length)
})

test('[WR4] quotes within a string do not count as strings', () => {
  const inner = JSON.stringify(Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`key ${i}`, i])))
  expect(cost({ body: inner })).toBeLessThan(1.2 * inner.length)
  expect(cost({ body: '\\'.repeat(5_000) })).toBeLessThan(11_000)
})

test('[WR4] keys and numbers cost more than their bytes', () => {
  const keys = Array.from({ length: 4_500 }, (_, i) => ({ [`k${i}`]: 0 }))
  expect(cost(keys)).toBeGreaterThan(15 * JSON.stringify(keys).length)
  expect(cost(Array.from({ length: 30_000 }, () => 0))).toBeGreaterThan(8 * 60_000)
})

test('[WR4] any text is counted to its end, and costs no less than its bytes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const bytes = Buffer.byteLength(text)
      const cost = costOf(text, bytes + 4_096)
      return cost >= bytes + 4_096 && cost <= bytes + 4_096 + 200 * (text.length + 1)
    }),
  )
})

test('[WF5] the longest acknowledgements, lookups and bodies do not hold too much', () => {
  const name = '€'.repeat(42)
  const ack = { to: name, stream: 'A'.repeat(11), next: Number.MAX_SAFE_INTEGER, unread: 'f'.repeat(16) }
  const frames = [
    ['ack', { acks: Array.from({ length: 64 }, () => ack) }],
    ['lookup', { id: 1, names: Array.from({ length: 64 }, () => name) }],
    ['send', { body: '"'.repeat(500_000) }],
  ].map((frame) => JSON.stringify(frame))
  for (const frame of frames) {
    const bytes = Buffer.byteLength(frame)
    expect(holdsTooMuch(costOf(frame, bytes), bytes)).toBe(false)
  }
})
