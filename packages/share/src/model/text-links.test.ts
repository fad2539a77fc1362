import { describe, expect, test } from 'vitest'
import { textPieces } from './text-links.js'

const hrefs = (text: string): string[] => textPieces(text).flatMap(({ href }) => href ?? [])

describe('textPieces', () => {
  test('finds web addresses, and keeps the text as it is', () => {
    const text = 'See https://example.org/a?b=1&c=2#d,\nor http://example.net.'
    expect(hrefs(text)).toEqual(['https://example.org/a?b=1&c=2#d', 'http://example.net/'])
    expect(
      textPieces(text)
        .map((piece) => piece.text)
        .join(''),
    ).toBe(text)
  })

  test.each([
    ['(https://example.org/a)', 'https://example.org/a'],
    ['https://example.org/a_(b)', 'https://example.org/a_(b)'],
    ['请看https://example.org/a。', 'https://example.org/a'],
    ['"https://example.org/"', 'https://example.org/'],
    ['<https://example.org/>', 'https://example.org/'],
  ])('in %s the address ends where the sentence goes on', (text, href) => {
    expect(hrefs(text)).toEqual([href])
  })

  test.each([
    'javascript:alert(1)',
    'data:text/html,<script>alert(1)</script>',
    'file:///etc/passwd',
    'ftp://example.org/',
    'https://bank.example@evil.example/',
    'https://',
    'https://exa\u202Emple.org'.slice(0, 8),
    '<img src=x onerror=alert(1)>',
  ])('%s is no link', (text) => {
    expect(hrefs(text)).toEqual([])
    expect(textPieces(text)).toEqual([{ text }])
  })

  test('an address ends before a character that reverses text', () => {
    expect(hrefs('https://example.org/a\u202Eb')).toEqual(['https://example.org/a'])
  })

  test('a text full of addresses makes a bounded number of links', () => {
    const text = 'https://a.example '.repeat(5_000)
    const pieces = textPieces(text)
    expect(pieces.length).toBeLessThan(500)
    expect(pieces.map((piece) => piece.text).join('')).toBe(text)
  })
})
