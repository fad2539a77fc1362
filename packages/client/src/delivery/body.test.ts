import { limits } from '@peerage/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeBody, encodeBody, encodeFragments, fits, joinFragments, fragmentCountOf } from './body.js'

test('JSON, strings and bytes are decoded to what was encoded', () => {
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.string({ unit: 'binary' }), fc.uint8Array()), (data) => {
      const body = encodeBody(data)
      expect(body).toBeDefined()
      const json: unknown = data instanceof Uint8Array ? data : JSON.parse(JSON.stringify(data))
      expect(decodeBody(body ?? '')).toEqual(json)
    }),
  )
})

test('an ArrayBuffer and views of one are decoded to the bytes that they cover', () => {
  const { buffer } = new Uint8Array([0, 1, 2, 255])
  expect(decodeBody(encodeBody(buffer) ?? '')).toEqual(new Uint8Array([0, 1, 2, 255]))
  expect(decodeBody(encodeBody(new Uint8Array(buffer, 1, 2)) ?? '')).toEqual(new Uint8Array([1, 2]))
})

test('text, bytes, and text that grows on the wire fit up to the limit', () => {
  const most = limits.bodyLength - 1
  expect(encodeBody('x'.repeat(most))).toHaveLength(limits.bodyLength)
  expect(encodeBody('x'.repeat(most + 1))).toBeUndefined()
  const bytes = Math.floor((limits.bodyLength * 3) / 4) - 3
  expect(encodeBody(new Uint8Array(bytes))).toBeDefined()
  expect(encodeBody(new Uint8Array(bytes + 1))).toBeUndefined()
  // Each of these is 3 bytes in UTF-8, or 2 when escaped. So the text is within the body limit, but over the frame
  // limit.
  expect(encodeBody('漢'.repeat(30_000))).toBeUndefined()
  expect(encodeBody('"'.repeat(40_000))).toBeUndefined()
  expect(encodeBody('漢'.repeat(20_000))).toBeDefined()
})

test('encoding data that JSON cannot hold is a TypeError; decoding a body that no SDK encodes is an error', () => {
  for (const data of [undefined, () => 1, Symbol('x'), 1n]) expect(() => encodeBody(data)).toThrow(TypeError)
  for (const body of ['', '{', 'x', 'b*', 'undefined']) expect(() => decodeBody(body)).toThrow(/./)
})

test('a __proto__ key stays a key', () => {
  const data: unknown = decodeBody('{"__proto__":{"admin":true}}')
  expect(Object.keys(data ?? {})).toEqual(['__proto__'])
  expect(data).not.toHaveProperty('admin')
})

test('[WD17] data larger than a frame is cut into up to four fragments that fit, and joined again', () => {
  const whole = (data: unknown): unknown => {
    const bodies = encodeFragments(data) ?? []
    expect(bodies.length).toBeGreaterThan(1)
    expect(bodies.every(fits)).toBe(true)
    expect(bodies.map(fragmentCountOf)).toEqual([bodies.length, ...bodies.slice(1).map(() => 0)])
    return decodeBody(joinFragments(bodies))
  }
  for (const text of ['x'.repeat(150_000), '"'.repeat(60_000), '漢'.repeat(45_000), '🙂'.repeat(25_000)])
    expect(whole(text)).toBe(text)
  const bytes = Uint8Array.from({ length: 120_000 }, (_, i) => i % 251)
  expect(whole(bytes)).toEqual(bytes)
  expect(encodeFragments('small')).toEqual(['ssmall'])
  expect(encodeFragments('x'.repeat(200_000))).toBeUndefined()
  expect(encodeFragments(new Uint8Array(200_000))).toBeUndefined()
  expect(fragmentCountOf('"a json text"')).toBeUndefined()
  for (const forged of ['p', 'p9x', 'p1x', 'pxx', 'p-']) {
    expect(fragmentCountOf(forged)).toBeUndefined()
    expect(() => decodeBody(forged)).toThrow(/./)
  }
})
