import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DEPTH_MAX, NAME_BYTES_MAX, numbered, safePath, uniquePaths } from './paths.js'

const bytesOf = (text: string): number => new TextEncoder().encode(text).length
/** The path as text, or why it is refused in brackets. */
function shown(path: string): string {
  const safe = safePath(path)
  return safe.ok ? safe.segments.join('/') : `(${safe.why})`
}

describe('[FT80] a received path stays inside its folder', () => {
  test.each([
    ['', 'is empty'],
    ['/etc/passwd', 'begins at the root of a disk'],
    ['//host/share/file', 'begins at the root of a disk'],
    ['\\\\host\\share\\file', 'begins at the root of a disk'],
    ['\\windows\\win.ini', 'begins at the root of a disk'],
    ['C:\\windows\\win.ini', 'begins with the letter of a drive'],
    ['c:/windows/win.ini', 'begins with the letter of a drive'],
    ['..', 'leads out of the folder'],
    ['../a', 'leads out of the folder'],
    ['a/../../b', 'leads out of the folder'],
    ['a/..', 'leads out of the folder'],
    ['..\\..\\a', 'leads out of the folder'],
    ['a\\..\\..\\b', 'leads out of the folder'],
    ['.', 'has an empty part'],
    ['./a', 'has an empty part'],
    ['a//b', 'has an empty part'],
    ['a/', 'has an empty part'],
    ['\u202E', 'has an empty part'],
    ['a/'.repeat(DEPTH_MAX) + 'b', `has more than ${DEPTH_MAX} folders`],
  ])('%j is refused: %s', (path, why) => expect(safePath(path)).toEqual({ ok: false, why }))

  test.each(['a\u202E../b', '.\u200E./b', '\u2066..\u2069/b'])('%j is not made into a way out', (path) => {
    const safe = safePath(path)
    if (safe.ok) for (const name of safe.segments) expect(name).not.toMatch(/^\.*$/)
  })
})

describe('[FT81] a name is one that every system can hold', () => {
  test.each([
    ['cat.jpg', 'cat.jpg'],
    ['photos/2026/cat.jpg', 'photos/2026/cat.jpg'],
    ['.bashrc', '.bashrc'],
    ['-rf', '-rf'],
    ['~', '~'],
    ['a..b', 'a..b'],
    ['...', '_'],
    ['. .', '_'],
    ['   ', '_'],
    ['a/ .. /b', 'a/_/b'],
    ['a. . .', 'a'],
    ['10:30.txt', '10_30.txt'],
    ['file.txt:stream', 'file.txt_stream'],
    ['C:file', 'C_file'],
    ['a\\b', 'a_b'],
    ['a\0b', 'a_b'],
    ['a\nb\u001B[2Jc\u007F\u009Bd', 'a_b_[2Jc__d'],
    ['a\u2028b', 'a_b'],
    ['<a>|"b"?*', '_a___b___'],
    ['a\uD800b', 'a_b'],
    ['photo\u202Egpj.exe', 'photogpj.exe'],
    ['e\u0301te\u0301', '\u00E9t\u00E9'],
    ['👩‍🚀.png', '👩‍🚀.png'],
  ])('%j becomes %j', (path, expected) => expect(shown(path)).toBe(expected))

  test.each([
    'CON',
    'con',
    'PRN',
    'aux',
    'NUL',
    'COM0',
    'com1',
    'COM9',
    'LPT1',
    'lpt9',
    'COM¹',
    'LPT³',
    'CONIN$',
    'conout$',
    'con.txt',
    'NUL.tar.gz',
    'aux .txt',
  ])('%j gets a mark, because it is a device in Windows', (name) => expect(shown(name)).toBe(`_${name}`))

  test.each([
    ['CON ', '_CON'],
    ['con.', '_con'],
    ['a/nul/b', 'a/_nul/b'],
    ['NUL:', 'NUL_'],
  ])('%j becomes %j', (path, expected) => expect(shown(path)).toBe(expected))

  test.each(['console', 'com10', 'COM', 'nullable.ts', 'auxiliary', '.con'])('%j stays', (name) =>
    expect(shown(name)).toBe(name),
  )

  test.each([
    ['x'.repeat(300), 'x'.repeat(NAME_BYTES_MAX)],
    [`${'x'.repeat(300)}.jpeg`, `${'x'.repeat(NAME_BYTES_MAX - 5)}.jpeg`],
    [`${'x'.repeat(300)}.tar.gz`, `${'x'.repeat(NAME_BYTES_MAX - 7)}.tar.gz`],
    [`${'é'.repeat(300)}.txt`, `${'é'.repeat((NAME_BYTES_MAX - 4) / 2)}.txt`],
    [`.${'x'.repeat(300)}`, `.${'x'.repeat(NAME_BYTES_MAX - 1)}`],
    [`a.${'x'.repeat(300)}`, `a.${'x'.repeat(NAME_BYTES_MAX - 2)}`],
  ])('a name that is too long is cut before its extension', (name, expected) =>
    expect(shown(name)).toBe(expected),
  )

  test('whatever comes: the result is safe, and making it safe again changes nothing', () => {
    const awkward = fc.constantFrom(
      ...'./\\:. \0\u202E\u200EcCoOnN19$é'.split(''),
      '😀',
      '\uD800',
      '..',
      'CON',
      'nul',
      'x'.repeat(120),
    )
    const paths = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.array(awkward, { maxLength: 12 }).map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(paths, (path) => {
        const safe = safePath(path)
        if (!safe.ok) return
        for (const name of safe.segments) {
          expect(name).not.toMatch(/^$|^\.\.?$|[/\\:\0]|[. ]$/)
          expect(bytesOf(name)).toBeLessThanOrEqual(NAME_BYTES_MAX)
        }
        expect(safePath(safe.segments.join('/'))).toEqual(safe)
      }),
    )
  })
})

describe('[FT82] two files never get one path', () => {
  const unique = (paths: string[]): string[] =>
    uniquePaths(paths).map((path) => (path.ok ? path.segments.join('/') : `(${path.why})`))

  test.each([
    [
      ['a.txt', 'a.txt', 'a.txt'],
      ['a.txt', 'a (2).txt', 'a (3).txt'],
    ],
    [
      ['a.txt', 'A.TXT'],
      ['a.txt', 'A (2).TXT'],
    ],
    [
      ['a (2).txt', 'a.txt', 'a.txt'],
      ['a (2).txt', 'a.txt', 'a (3).txt'],
    ],
    [
      ['a:b', 'a?b', 'a_b'],
      ['a_b', 'a_b (2)', 'a_b (3)'],
    ],
    [
      ['e\u0301', '\u00E9'],
      ['\u00E9', '\u00E9 (2)'],
    ],
    [
      ['x/a.tar.gz', 'x/a.tar.gz'],
      ['x/a.tar.gz', 'x/a (2).tar.gz'],
    ],
    [
      ['a', 'a/b'],
      ['a (2)', 'a/b'],
    ],
    [
      ['../a', 'a'],
      ['(leads out of the folder)', 'a'],
    ],
    [
      ['.env', '.env'],
      ['.env', '.env (2)'],
    ],
  ])('%j becomes %j', (paths, expected) => expect(unique(paths)).toEqual(expected))

  test('a long name keeps its extension and its number', () => {
    const [, second = ''] = unique([`${'x'.repeat(300)}.jpg`, `${'x'.repeat(300)}.jpg`])
    expect(second).toBe(`${'x'.repeat(NAME_BYTES_MAX - 8)} (2).jpg`)
    expect(numbered(['a', 'b.c'], 12)).toEqual(['a', 'b (12).c'])
  })

  test('ten thousand equal names take no time', () => {
    expect(new Set(unique(Array.from({ length: 10_000 }, () => 'a.txt'))).size).toBe(10_000)
  })
})
