import { expect, test } from 'vitest'
import type { Settings } from './case.js'
import { CASES, select } from './run.js'

// A short selection with smaller files; `npm run test:share` runs all cases.

const SETTINGS: Settings = { megabytes: 60, breaks: 3, sparseMegabytes: 256, seed: 16 }

test.each([
  'chromium:firefox:guest-reloaded',
  'firefox:chromium:host-node-killed',
  'chromium:terminal',
  'terminal:firefox',
  'names:terminal',
  'names:chromium',
])(
  '%s',
  async (id) => {
    const [one, ...others] = select(id)
    expect(others).toEqual([])
    await one?.run(SETTINGS)
  },
  240_000,
)

test('cases are chosen by the start of their ids', () => {
  expect(select(undefined)).toEqual(CASES)
  expect(new Set(CASES.map(({ id }) => id)).size).toBe(CASES.length)
  expect(select('chromium:firefox').map(({ id }) => id)).toEqual([
    'chromium:firefox',
    'chromium:firefox:host-node-killed',
    'chromium:firefox:guest-node-killed',
    'chromium:firefox:host-reloaded',
    'chromium:firefox:guest-reloaded',
  ])
  expect(() => select('safari')).toThrow('safari')
})
