import { crc32 as expected } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32 } from './crc32.js'

test('the CRC-32 of the check value of its catalogue', () => {
  expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf4_3926)
})

test('bytes in two pieces, at any alignment, have the CRC-32 that zlib gives', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, cut) => {
      const [one, two] = [Uint8Array.from(bytes).subarray(0, cut), Uint8Array.from(bytes).subarray(cut)]
      expect(crc32(two, crc32(one))).toBe(expected(bytes))
    }),
  )
})
