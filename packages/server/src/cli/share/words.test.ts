import { expect, test } from 'vitest'
import { bar, durationText, fit, parseDuration, percent, sizeText, visible, visibleLines } from './words.js'

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.0 kB'],
  [99_940, '99.9 kB'],
  [99_960, '100 kB'],
  [999_600, '1.0 MB'],
  [1_234_567_890, '1.2 GB'],
  [2 ** 53, '9.0 PB'],
])('%d bytes are %s', (bytes, text) => expect(sizeText(bytes)).toBe(text))

test.each([
  [0, '0 s'],
  [0.2, '1 s'],
  [99, '99 s'],
  [150, '3 min'],
  [7_200, '2 h'],
  [7_500, '2 h 5 min'],
])('%d seconds are %s', (seconds, text) => expect(durationText(seconds)).toBe(text))

test.each([
  ['90s', 90_000],
  ['10m', 600_000],
  ['2h', 7_200_000],
  ['1d', 86_400_000],
])('%s is a time', (text, ms) => expect(parseDuration(text)).toBe(ms))
test.each(['', '10', 'm', '0m', '-1m', '1.5h', '1w', '366d', '99999999999s', '10 m'])(
  '%j is no time',
  (text) => expect(parseDuration(text)).toBeUndefined(),
)

test('what a terminal would obey is marked', () => {
  expect(visible('a\u001B[2J\u009B1m\rb\nc\u202Ed')).toBe('a\uFFFD[2J\uFFFD1m\uFFFDb\uFFFDc\uFFFDd')
  expect(visibleLines('a\r\n\tb\rc\u001B]0;x\u0007')).toBe('a\n\tb\nc\uFFFD]0;x\uFFFD')
})

test('a long name is cut in the middle', () => {
  expect(fit('abcdefghij', 10)).toBe('abcdefghij')
  expect(fit('abcdefghijk', 6)).toBe('ab…ijk')
  expect([fit('abc', 1), fit('abc', 0)]).toEqual(['…', ''])
})

test('a bar is full only at the end', () => {
  expect([bar(0, 0, 4), bar(99, 100, 4), bar(5, 10, 4)]).toEqual(['[####]', '[###-]', '[##--]'])
  expect([percent(999, 1000), percent(0, 0), percent(12, 10)]).toEqual([99, 100, 100])
})
