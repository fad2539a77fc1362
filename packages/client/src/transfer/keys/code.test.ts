import fc from 'fast-check'
import { expect, test } from 'vitest'
import { repeatableRandom } from '../../testing/handshake-pair.js'
import { CODE_NUMBER_MAX, codeName, completeCode, drawNumber, makeCode, parseCode } from './code.js'
import { sha256 } from '../hash.js'
import { toHex, utf8 } from './bytes.js'
import { words } from './words.js'

const text = '17-crane-otter-tulip'
const anyText = fc.uint16Array({ maxLength: 80 }).map((codes) => String.fromCharCode(...codes))

test('[FT32] the words are those of the EFF, without yo-yo', async () => {
  // The hash of the EFF's words, one a line, was computed from another copy of the list.
  const all = [...words, 'yo-yo'].sort()
  expect(toHex(await sha256(utf8(`${all.join('\n')}\n`)))).toBe(
    '36ecca49e4fa20ca84b176c32f2e9c82f98f446585190e75f9879a95c08247bf',
  )
  expect([words.length, new Set(words).size]).toEqual([1_295, 1_295])
  expect(words.every((word) => /^[a-z]{3,5}$/.test(word))).toBe(true)
  expect([...words].sort()).toEqual(words)
})

test('[FT32] what is made is read again', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: CODE_NUMBER_MAX }), fc.string(), (number, seed) => {
      const code = makeCode(number, words, repeatableRandom(seed))
      expect(code.text).toMatch(/^\d+(-[a-z]+){3}$/)
      expect(parseCode(code.text, words)).toEqual({ ok: true, code })
    }),
  )
  expect(makeCode(5, words).text).not.toBe(makeCode(5, words).text)
  expect(codeName(17)).toBe('share-17')
})

test('[FT32] every word is drawn as often as the others', () => {
  const random = repeatableRandom('words')
  const few = words.slice(0, 5)
  const counts = new Map<string, number>()
  for (let made = 0; made < 500; made++)
    for (const word of makeCode(1, few, random).text.split('-').slice(1))
      counts.set(word, (counts.get(word) ?? 0) + 1)
  // 1,500 draws of five words: 300 each, with a standard deviation of 15.
  for (const word of few) expect(Math.abs((counts.get(word) ?? 0) - 300), word).toBeLessThan(75)
})

test('[FT32] a number is short at first, and always from 1 to 9,999', () => {
  const random = repeatableRandom('numbers')
  for (let attempt = 0; attempt < 300; attempt++) {
    const number = drawNumber(attempt % 10, random)
    expect(number).toBeGreaterThanOrEqual(1)
    expect(number).toBeLessThanOrEqual(attempt % 10 < 3 ? 99 : CODE_NUMBER_MAX)
  }
})

test.each([
  '17-crane-otter-tulip',
  ' 17 Crane OTTER tulip ',
  '017_crane.otter,tulip',
  '17--crane–otter—tulip.',
  '１７－ｃｒａｎｅ　otter tulip',
  '17\ncrane\n/ otter; tulip!',
])('[FT32] %j is read', (typed) => {
  expect(parseCode(typed, words)).toEqual({ ok: true, code: { number: 17, text } })
})

test('[FT32] each mistake of a code is told apart', () => {
  const read = (typed: string): unknown => parseCode(typed, words)
  expect(read('')).toEqual({ ok: false, why: 'empty' })
  expect(read(' - ')).toEqual({ ok: false, why: 'empty' })
  expect(read('crane-otter-tulip')).toEqual({ ok: false, why: 'no-number' })
  expect(read('0-crane-otter-tulip')).toEqual({ ok: false, why: 'no-number' })
  expect(read('10000-crane-otter-tulip')).toEqual({ ok: false, why: 'no-number' })
  expect(read('17-crane-otter')).toEqual({ ok: false, why: 'too-short' })
  expect(read('17')).toEqual({ ok: false, why: 'too-short' })
  expect(read('17-crane-otter-tulip-zoom')).toEqual({ ok: false, why: 'too-long' })
  expect(read('17-crane-otter-tulip'.repeat(100))).toEqual({ ok: false, why: 'too-long' })
  expect(read('17-crane-oter-tulip')).toEqual({ ok: false, why: 'unknown-word', word: 'oter' })
  expect(read('17-yo-yo-crane-otter')).toMatchObject({ ok: true, code: { text: '17-yoyo-crane-otter' } })
  fc.assert(fc.property(anyText, (any) => [read(any), completeCode(any, words)].length === 2))
})

test('[FT32] the last part of a code is completed', () => {
  expect(completeCode('17-cran', words)).toEqual(['crane', 'crank'])
  expect(completeCode('17 Crane ott', words)).toEqual(['otter'])
  expect(completeCode('17-crane-otter-tul', words)).toEqual(['tulip'])
  for (const none of ['', '17', '17-', '17-crane-', 'cran', '17-xx', '17-crane-otter-tulip-c', '0-cran'])
    expect(completeCode(none, words), none).toEqual([])
})

test('a wrong argument is named', () => {
  for (const read of [parseCode, completeCode]) {
    expect(() => Reflect.apply(read, undefined, ['17-crane-otter-tulip'])).toThrow(/words.*an array/)
    expect(() => Reflect.apply(read, undefined, [undefined, words])).toThrow(/text.*a string/)
  }
})
