import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Members } from './json-text.js'
import { readMembers } from './json-text.js'

const TOO_DEEP = 1_001
const KEYS = ['type', 'dst', 'payload']

/** How JSON.parse reads the same text. */
function parsed(text: string): { [key: string]: unknown } | 'array' | 'malformed' {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return 'malformed'
  }
  if (typeof value !== 'object' || value === null) return 'malformed'
  return Array.isArray(value) ? 'array' : { ...value }
}

/** The values of the texts. */
function meant(read: Members<string> | string): unknown {
  if (typeof read === 'string') return read
  return Object.fromEntries(Object.entries(read).map(([key, text]) => [key, JSON.parse(String(text))]))
}

function expectAsParsed(text: string): void {
  const expected = parsed(text)
  const some =
    typeof expected === 'string'
      ? expected
      : Object.fromEntries(
          KEYS.filter((key) => Object.hasOwn(expected, key)).map((key) => [key, expected[key]]),
        )
  expect([text, meant(readMembers(text, KEYS))]).toEqual([text, some])
}

const texts = fc
  .array(
    fc.tuple(
      fc.constantFrom('"type"', '"dst"', '"payload"', '"\\u0064st"', '"x"', '"a\\"b"', '""'),
      fc.oneof(
        fc.json({ maxDepth: 4 }),
        fc.constantFrom('1e5', '-0.1E+2', '"\\ud800\\n"', '"é €🙂"', ' [ ] ', '{ }', '{"a" : [1 ,\t2]}'),
        fc.string({ minLength: 20, maxLength: 60 }).map((text) => JSON.stringify(text)),
      ),
    ),
    { maxLength: 4 },
  )
  .map((members) => `{${members.map(([key, value]) => `${key}:${value}`).join(',')}}`)

test('[PJ6] a text that JSON.parse accepts is accepted, and of members with one key the last counts', () => {
  fc.assert(fc.property(texts, expectAsParsed), { numRuns: 500 })
})

test('[PJ6] a text with one random change is accepted or refused as JSON.parse does', () => {
  const change = fc.constantFrom(...'{}[]",:\\/ntu0129.-+eE \n\u0001a€'.split(''), '')
  fc.assert(
    fc.property(texts, fc.nat(), fc.nat(1), change, (text, place, removed, added) => {
      const at = place % (text.length + 1)
      expectAsParsed(text.slice(0, at) + added + text.slice(at + removed))
    }),
    { numRuns: 5_000 },
  )
})

const values = [
  '0 -0 01 1. .1 - +1 1e 1e+ 1E-2 1.5e300 Infinity NaN true tru truex null nul false undefined'.split(' '),
  [
    '1 2',
    "'a'",
    '""',
    '"',
    '"\\"',
    '"\\x"',
    '"\\u12"',
    '"\\u12g4"',
    '"\\uD83D"',
    '"\t"',
    '"\u007f"',
    '"\u2028"',
  ],
  [`"${'x'.repeat(100)}"`, `"${'x'.repeat(100)}\n"`, `"${'x'.repeat(100)}`, `"${'x'.repeat(40)}\\`],
  ['[]', '[1]', '[1,]', '[,1]', '[1 2]', '[', ']', '{}', '{"a"}', '{"a":}', '{"a":1,}', '{a:1}', '{]'],
].flat()

test('[PJ6] every kind of value is read as JSON.parse reads it', () => {
  for (const value of values) {
    expectAsParsed(value)
    expectAsParsed(`[${value}]`)
    expectAsParsed(`{"payload":${value}}`)
    expectAsParsed(`{"payload":${value},"dst":[${value}]}`)
    expectAsParsed(` \r\n\t{ "payload" :\n${value} } `)
    expectAsParsed(`\u00a0{"payload":${value}}`)
  }
})

test('[PJ6] a text that is nested too deeply is malformed', () => {
  const nested = (depth: number, [open, close]: [string, string]): string =>
    `{"payload":${open.repeat(depth)}1${close.repeat(depth)}}`
  for (const pair of [
    ['[', ']'],
    ['{"a":', '}'],
  ] satisfies [string, string][]) {
    expect(readMembers(nested(TOO_DEEP, pair), KEYS)).toBe('malformed')
    expect(readMembers(nested(TOO_DEEP - 1, pair), ['type'])).toEqual({})
  }
})
