import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { itemsAt, valueAt, valueEnd } from './json-slices.js'

describe('slices of a JSON text', () => {
  test('the text of a member has the value that JSON.parse gives it, whatever the spelling', () => {
    const space = fc.stringMatching(/^[ \n\r\t]{0,2}$/)
    const word = fc.oneof(
      fc.json({ maxDepth: 6 }),
      fc.constantFrom(
        '-0',
        '1e20',
        '"\\\\"',
        '"\\""',
        '"\\\\\\""',
        '""',
        '[]',
        '{}',
        '{"sdp":{"sdp":1}}',
        '"\\ud800"',
      ),
    )
    const key = fc.constantFrom(
      '"sdp"',
      '"s\\u0064p"',
      '"sdpx"',
      '"sd"',
      '""',
      '"\\\\sdp"',
      '"__proto__"',
      '"x\\""',
    )
    const member = fc.tuple(space, key, space, space, word, space)
    fc.assert(
      fc.property(fc.array(member, { maxLength: 6 }), space, (members, before) => {
        const text = `${before}{${members.map(([a, k, b, c, v, d]) => `${a}${k}${b}:${c}${v}${d}`).join(',')}}`
        const all = JSON.parse(text) as Record<string, unknown>
        const at = valueAt(text, text.indexOf('{'), 'sdp')
        if (!Object.hasOwn(all, 'sdp')) expect(at).toBe(-1)
        else expect(JSON.parse(text.slice(at, valueEnd(text, at)))).toEqual(all.sdp)
      }),
      { numRuns: 500 },
    )
  })

  test('the texts of the items of an array have the values that JSON.parse gives them', () => {
    const space = fc.stringMatching(/^[ \n\r\t]{0,2}$/)
    fc.assert(
      fc.property(fc.array(fc.tuple(space, fc.json(), space)), (items) => {
        const text = `[${items.map((item) => item.join('')).join(',')}]`
        const values = [...itemsAt(text, 0)].map((at): unknown =>
          JSON.parse(text.slice(at, valueEnd(text, at))),
        )
        expect(values).toEqual(JSON.parse(text))
      }),
      { numRuns: 300 },
    )
  })

  test('a deep value is skipped without recursion', () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    const text = `{"a":${deep},"sdp":"x"}`
    expect(text.slice(valueAt(text, 0, 'sdp'))).toBe('"x"}')
  })
})
