import { describe, expect, test } from 'vitest'
import { english } from '../words/en.js'
import { chinese } from '../words/zh.js'
import { percentOf, sizeText, timeLeft } from './format.js'

describe('sizeText', () => {
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1 kB'],
    [1234, '1.2 kB'],
    [999_950, '1 MB'],
    [12_345_678, '12.3 MB'],
    [812_000_000, '812 MB'],
    [4 * 1024 ** 3, '4.3 GB'],
  ])('%d bytes are %s', (bytes, text) => {
    expect(sizeText(bytes, 'en')).toBe(text)
    expect(sizeText(bytes, 'zh-CN')).toBe(text)
  })
})

test('only the whole is 100 percent', () => {
  expect(percentOf(999_999, 1_000_000)).toBe(99)
  expect(percentOf(1_000_000, 1_000_000)).toBe(100)
  expect(percentOf(0, 0)).toBe(100)
})

describe('timeLeft', () => {
  test.each([
    [0.2, '1 second left', '还需 1 秒'],
    [33, '35 seconds left', '还需 35 秒'],
    [59, '1 minute left', '还需 1 分钟'],
    [779, '13 minutes left', '还需 13 分钟'],
    [3_600, '1 hour left', '还需 1 小时'],
    [200_000, '2 days left', '还需 2 天'],
  ])('%d seconds are said as "%s" and "%s"', (seconds, inEnglish, inChinese) => {
    expect(english.left(timeLeft(seconds))).toBe(inEnglish)
    expect(chinese.left(timeLeft(seconds))).toBe(inChinese)
  })
})
