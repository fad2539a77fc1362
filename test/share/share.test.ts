import { expect, test } from 'vitest'
import type { Settings } from './case.js'
import { canMountDisks } from './own-disk.js'
import { CASES, select } from './run.js'

// A short selection with smaller files; `npm run test:share` runs all cases.

const SETTINGS: Settings = { megabytes: 60, breaks: 3, sparseMegabytes: 256, seed: 16 }

const disks = await canMountDisks()
if (!disks.ok) process.stderr.write(`a terminal whose disk is full did not run: ${disks.reason}\n`)

const run = async (id: string): Promise<void> => {
  const [one, ...others] = select(id)
  expect(others).toEqual([])
  await one?.run(SETTINGS)
}

test.each([
  'chromium:firefox:guest-reloaded',
  'firefox:chromium:host-node-killed',
  'chromium:terminal',
  'terminal:firefox',
  'names:terminal',
  'names:chromium',
])('%s', run, 240_000)

test.runIf(disks.ok)('full:terminal', () => run('full:terminal'), 240_000)

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
