import fc from 'fast-check'
import { expect, test } from 'vitest'
import { textOf } from './text-of.js'

const repeated = fc.tuple(fc.constantFrom('a', 'ü', '€', '😀'), fc.integer({ min: 0, max: 1_100 }))

test('a long text is the same as without pieces, wherever its characters are cut', () => {
  fc.assert(
    fc.property(fc.array(repeated, { maxLength: 6 }), (parts) => {
      const text = parts.map(([character, times]) => character.repeat(times)).join('')
      expect(textOf(Buffer.from(text))).toBe(text)
    }),
  )
})

test('bytes that are not UTF-8 are decoded as by Buffer.toString', () => {
  const bytes = fc.array(fc.constantFrom(0x41, 0x80, 0xbf, 0xc3, 0xe2, 0xf0, 0xff), { maxLength: 16 })
  fc.assert(
    fc.property(bytes, fc.integer({ min: 1_000, max: 2_100 }), (some, before) => {
      const frame = Buffer.concat([Buffer.alloc(before, 'a'), Buffer.from(some), Buffer.alloc(1_500, 0x80)])
      expect(textOf(frame)).toBe(frame.toString())
    }),
  )
})
