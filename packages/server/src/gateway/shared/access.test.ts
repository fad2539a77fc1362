import { describe, expect, test } from 'vitest'
import { checkedAccess, isOriginAllowed, sameSecret } from './access.js'

const forbidden = (detail: string) => ({ ok: false, code: 'forbidden', detail, isForeignText: true })

test('secrets are compared by their digests, whatever their lengths', () => {
  expect(sameSecret('a-shared-key', 'a-shared-key')).toBe(true)
  expect(sameSecret('a-shared-key', 'a-shared-kex')).toBe(false)
  expect(sameSecret('a-shared-key', 'a-shared-keyx')).toBe(false)
  expect(sameSecret('', '')).toBe(true)
})

test.each([
  'https://evil.example',
  'null',
  '',
  'https://app.example.evil.example',
  'https://evil-app.example',
  'https://APP.example',
  'HTTPS://app.example',
  'http://app.example',
  'https://app.example:443',
  'https://app.example/',
  ' https://app.example',
])('the origin %j is another one than https://app.example', (origin) => {
  expect(isOriginAllowed(['https://app.example'], origin)).toBe(false)
  expect(isOriginAllowed(['https://app.example'], 'https://app.example')).toBe(true)
  expect(isOriginAllowed([], origin)).toBe(true)
})

describe('rules of an application', () => {
  const ask = (answer: unknown) =>
    checkedAccess({ admit: () => Promise.resolve(JSON.parse(JSON.stringify(answer ?? null))) }).admit({
      wire: 'native',
      address: '192.0.2.1',
    })

  test('decide alone', async () => {
    expect(await ask({ ok: true, app: 'chess', identity: 'ann' })).toEqual({
      ok: true,
      app: 'chess',
      identity: 'ann',
    })
    expect(await ask(forbidden('not today'))).toEqual(forbidden('not today'))
  })

  // The error for each of these once called the answer “nothing”, which did not help to find the mistake.
  test.each([
    [null, 'answered null'],
    [true, 'answered true'],
    ['chess', 'answered a string'],
    [{}, 'must return ok: true or ok: false: its answer has ok: undefined'],
    [{ ok: 'yes', app: 'chess' }, 'must return ok: true or ok: false: its answer has ok: a string'],
    [{ ok: true }, 'must name the app: its answer has app: undefined'],
    [{ ok: true, app: 'BAD APP!' }, 'must name the app: app must be '],
    [
      { ok: true, app: 'chess', identity: 7 },
      'must return identity as a string, or leave it out: its answer has ',
    ],
    [
      { ok: false },
      'must refuse with an error code of packages/protocol/SPEC.md: its answer has code: undefined',
    ],
    [{ ok: false, code: 'no', detail: 'x' }, 'must refuse with an error code of '],
    [{ ok: false, code: 'forbidden' }, 'must say why it refuses: its answer has detail: undefined'],
  ])('a wrong answer is an error that says what is wrong and what is wanted: %j', async (answer, says) => {
    const error: unknown = await ask(answer).catch((reason: unknown) => reason)
    expect(String(error)).toContain(`TypeError: accessRules.admit ${says}`)
    expect(String(error)).toContain("It answers { ok: true, app: 'default' }")
  })
})
