import { parseApp, type App } from '@peerage/protocol'
import { describe, expect, test } from 'vitest'
import {
  checkedAccess,
  isOriginAllowed,
  sameSecret,
  staticAccess,
  type AccessOptions,
  type AdmitRequest,
} from './access.js'

function app(text: string): App {
  const parsed = parseApp(text)
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.value
}

const KEY = 'a-shared-key-of-all-peers'
const ORIGIN = 'https://app.example'
const open: AccessOptions = { defaultApp: app('default'), apps: [], origins: [], key: null }

function admit(options: Partial<AccessOptions>, request: Partial<AdmitRequest> = {}) {
  return staticAccess({ ...open, ...options }).admit({ wire: 'native', address: '192.0.2.1', ...request })
}

const forbidden = (detail: string) => ({ ok: false, code: 'forbidden', detail })

describe('without rules', () => {
  test('every peer comes in without an identity, into the default app or the app that it names', async () => {
    expect(await admit({})).toEqual({ ok: true, app: 'default' })
    expect(await admit({}, { app: app('chess'), origin: 'https://evil.example', token: 'x' })).toEqual({
      ok: true,
      app: 'chess',
    })
  })
})

describe('with a shared key', () => {
  test('a peer with the key comes in with an identity, and no other peer comes in', async () => {
    expect(await admit({ key: KEY }, { token: KEY })).toEqual({
      ok: true,
      app: 'default',
      identity: 'shared-key',
    })
    for (const token of ['', KEY.slice(0, -1), `${KEY} `, KEY.toUpperCase()])
      expect(await admit({ key: KEY }, { token })).toEqual(forbidden('the token is missing or wrong'))
    expect(await admit({ key: KEY })).toEqual(forbidden('the token is missing or wrong'))
  })

  test('keys are compared by their digests, whatever their lengths', () => {
    expect(sameSecret(KEY, KEY)).toBe(true)
    expect(sameSecret(KEY, `${KEY}x`)).toBe(false)
    expect(sameSecret('', '')).toBe(true)
  })
})

describe('with an Origin allow-list', () => {
  const lookalikes = [
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
  ]

  test('pages of a listed origin come in', async () => {
    expect(await admit({ origins: [ORIGIN] }, { origin: ORIGIN })).toEqual({ ok: true, app: 'default' })
    expect(isOriginAllowed([ORIGIN], ORIGIN)).toBe(true)
  })

  test.each(lookalikes)('a page of %j does not come in, with or without the key', async (origin) => {
    expect(isOriginAllowed([ORIGIN], origin)).toBe(false)
    expect(await admit({ origins: [ORIGIN] }, { origin })).toEqual(forbidden('this origin may not connect'))
    expect(await admit({ origins: [ORIGIN], key: KEY }, { origin, token: KEY })).toEqual(
      forbidden('this origin may not connect'),
    )
  })

  test('a program that sends no Origin needs the key', async () => {
    expect(await admit({ origins: [ORIGIN] })).toEqual(forbidden('without an Origin, a token is needed'))
    expect(await admit({ origins: [ORIGIN] }, { token: 'made up' })).toMatchObject({ ok: false })
    expect(await admit({ origins: [ORIGIN], key: KEY }, { token: KEY })).toMatchObject({ ok: true })
    expect(await admit({ origins: [ORIGIN], key: KEY })).toMatchObject({ ok: false })
  })
})

test('apps outside the list are not served, and the default app is served only if it is listed', async () => {
  const apps = [app('default'), app('chess')]
  expect(await admit({ apps }, { app: app('chess') })).toMatchObject({ ok: true, app: 'chess' })
  expect(await admit({ apps }, { app: app('poker') })).toEqual(forbidden('this app is not served here'))
  expect(await admit({ apps: [app('chess')] })).toMatchObject({ ok: false })
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
