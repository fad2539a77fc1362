import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { readTable } from '@peerage/test-support/testing/protocol.js'
import { expect, test } from 'vitest'
import type { Control } from './codec.js'
import { decodeControl, encodeControl, wireReasons } from './codec.js'
import { decodeBinary, encodeBlockEnd, encodePart } from './parts.js'
import { heardReason } from './reasons.js'

const spec = readFileSync(new URL('../SPEC.md', import.meta.url), 'utf8')
const id = fc.integer({ min: 0, max: 0xffff_ffff })
const whole = fc.maxSafeNat()
const ids = fc.array(id, { minLength: 1, maxLength: 20 })
const of = fc.constantFrom('mine' as const, 'yours' as const)
const is = <T extends string>(type: T): fc.Arbitrary<T> => fc.constant(type)

const offered = fc.record(
  {
    id,
    path: fc
      .string({ minLength: 1, maxLength: 1_024, unit: 'grapheme' })
      .filter(({ length }) => length <= 1_024),
    size: fc.integer({ min: 0, max: 2 ** 52 }),
    type: fc.string({ maxLength: 255 }),
    modifiedAt: fc.double({ noNaN: true, noDefaultInfinity: true }).map((time) => (time === 0 ? 0 : time)),
  },
  { requiredKeys: ['id', 'path', 'size', 'type'] },
)

const messages: Record<Control['type'], fc.Arbitrary<Control>> = {
  begin: fc.record({ type: is('begin'), run: fc.string({ minLength: 1, maxLength: 64 }) }),
  offer: fc.record({ type: is('offer'), files: fc.array(offered, { minLength: 1, maxLength: 5 }) }),
  accept: fc.record({ type: is('accept'), files: ids }),
  reject: fc.record({ type: is('reject'), files: ids }),
  done: fc.record({ type: is('done'), files: ids }),
  need: fc.record({
    type: is('need'),
    file: id,
    size: whole,
    ranges: fc.array(fc.tuple(id, fc.integer({ min: 1, max: 2 ** 32 }))),
  }),
  kept: fc.record({ type: is('kept'), file: id, bytes: whole }),
  grant: fc.record({ type: is('grant'), bytes: whole }),
  root: fc.record({ type: is('root'), file: id, hash: fc.stringMatching(/^[0-9a-f]{64}$/) }),
  hashing: fc.record({ type: is('hashing'), file: id, blocks: id }),
  end: fc.record({
    type: is('end'),
    of,
    files: ids,
    reason: fc.constantFrom(...wireReasons),
    detail: fc.string({ maxLength: 500 }),
  }),
  pause: fc.record({ type: is('pause'), of, files: ids, on: fc.boolean() }),
  text: fc.record({ type: is('text'), id: whole, text: fc.string({ maxLength: 2_048 }), more: fc.boolean() }),
  got: fc.record({ type: is('got'), id: whole, again: fc.boolean() }),
}
const message: fc.Arbitrary<Control> = fc.oneof(...Object.values(messages))

test('[FT2] SPEC.md lists every control message and its fields', () => {
  const told = new Map(readTable(spec, 'Control messages').map(({ type, fields }) => [type ?? '', fields]))
  expect([...told.keys()].sort()).toEqual(Object.keys(messages).sort())
  fc.assert(
    fc.property(message, (one) => {
      for (const field of Object.keys(one))
        if (field !== 'type') expect(told.get(one.type), one.type).toContain(field)
    }),
  )
})

test('[FT10] SPEC.md says how each reason is shown', () => {
  const rows = readTable(spec, 'From the offer to the end')
  const shown = wireReasons.map((reason) => ({ reason, 'shown by the other side as': heardReason(reason) }))
  expect(rows).toEqual(shown)
})

test('[FT2] every control message is read as it was written', () => {
  fc.assert(
    fc.property(message, (one) => {
      const json: unknown = JSON.parse(JSON.stringify(one))
      expect(decodeControl(encodeControl(one))).toEqual({ kind: 'control', message: json })
    }),
    { numRuns: 1_000 },
  )
})

test('[FT2] a control message with any field of a wrong kind is malformed', () => {
  const wrong = fc.constantFrom<unknown>(
    null,
    -1,
    0.5,
    2 ** 53,
    'x'.repeat(5_000),
    [],
    [[]],
    [null],
    {},
    [{}],
    '',
  )
  fc.assert(
    fc.property(message, fc.nat(), wrong, (one, which, value) => {
      const fields = Object.keys(one).filter((field) => field !== 'type')
      const field = fields[which % fields.length] ?? ''
      // These are right for some fields.
      if ((field === 'detail' || field === 'text') && value === '') return
      if (field === 'ranges' && Array.isArray(value) && value.length === 0) return
      const decoded = decodeControl(JSON.stringify({ ...one, [field]: value }))
      expect(decoded.kind, `${one.type}.${field}`).toBe('malformed')
    }),
    { numRuns: 2_000 },
  )
})

test('[FT2] [FT20] no text makes the decoder throw', () => {
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc.json().map((json) => `{"type":"offer","files":${json}}`),
    fc.tuple(message, fc.nat(500)).map(([one, length]) => encodeControl(one).slice(0, length)),
  )
  fc.assert(
    fc.property(text, (one) => {
      expect(['malformed', 'other', 'control']).toContain(decodeControl(one).kind)
    }),
    { numRuns: 2_000 },
  )
  for (const one of [
    '',
    '7',
    '"begin"',
    'null',
    '[]',
    '{}',
    '{"type":7}',
    `{"type":"x","a":"${'a'.repeat(70_000)}"}`,
  ])
    expect(decodeControl(one).kind, one.slice(0, 20)).toBe('malformed')
  expect(decodeControl('{"type":"toString"}')).toEqual({ kind: 'other', message: { type: 'toString' } })
  expect(decodeControl('{"type":"__proto__"}').kind).toBe('other')
})

test.each([
  ['a path of 1,025 characters', { path: 'x'.repeat(1_025) }],
  ['an empty path', { path: '' }],
  ['a size above 2^32 blocks', { size: 2 ** 52 + 1 }],
  ['a negative size', { size: -1 }],
  ['a fraction of a byte', { size: 1.5 }],
  ['a type of 256 characters', { type: 'x'.repeat(256) }],
  ['a time that is no number', { modifiedAt: 'now' }],
])('[FT2] [FT19] an offer with %s is malformed', (_, change) => {
  const good = { id: 1, path: 'a', size: 1, type: '', modifiedAt: 1 }
  expect(decodeControl(JSON.stringify({ type: 'offer', files: [good] })).kind).toBe('control')
  expect(decodeControl(JSON.stringify({ type: 'offer', files: [{ ...good, ...change }] })).kind).toBe(
    'malformed',
  )
})

test('[FT3] binary messages have the layout of SPEC.md', () => {
  const part = encodePart(0x01020304, 0x05060708, 0x090a0b0c, Uint8Array.of(13, 14))
  expect([...part]).toEqual([1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])
  const hash = Uint8Array.from({ length: 32 }, (_, i) => i)
  const end = encodeBlockEnd(0xffffffff, 0, hash)
  expect([...end]).toEqual([2, 255, 255, 255, 255, 0, 0, 0, 0, ...hash])
  expect(decodeBinary(end)).toEqual({ kind: 'block-end', file: 0xffffffff, block: 0, hash })
})

test('[FT3] parts are read as they were written, and other bytes never throw', () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 50 })
  fc.assert(
    fc.property(id, id, id, bytes, (file, block, offset, payload) => {
      const decoded = decodeBinary(encodePart(file, block, offset, payload))
      expect(decoded).toEqual({ kind: 'part', file, block, offset, bytes: new Uint8Array(payload) })
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const { kind } = decodeBinary(new Uint8Array(bytes))
      const isRight = bytes[0] === 1 ? bytes.length > 13 : bytes[0] === 2 && bytes.length === 41
      expect(kind === 'malformed').toBe(!isRight)
    }),
    { numRuns: 1_000 },
  )
})
