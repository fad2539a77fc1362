import { execFile } from 'node:child_process'
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { childEnvironment, startChild } from '@peerage/test-support/process.js'

// What `npm start` and the other scripts install, and when.

const START_MS = 180_000
/** A node, the compiler and the page's bundler; all packages of a checkout are over 600. */
const RUN_PACKAGES_MOST = 120

const execute = promisify(execFile)
let directory: string

beforeAll(async () => {
  directory = await makeDirectory('install')
})
afterAll(() => removeDirectory(directory))

const recordSchema = z.object({
  packages: z.record(z.string(), z.looseObject({ dev: z.boolean().optional() })),
})

test(
  'npm start in a fresh checkout installs no development packages, and the node runs',
  { timeout: START_MS },
  async () => {
    const checkout = join(directory, 'checkout')
    await mkdir(checkout)
    const copy = `git ls-files -z | tar --null -T - -cf - | tar -xf - -C '${checkout}'`
    await execute('sh', ['-c', copy], { cwd: REPOSITORY })
    const child = await startChild({
      command: process.execPath,
      args: ['scripts/start.mjs', '--port', '0'],
      cwd: checkout,
      env: { npm_config_prefer_offline: 'true' },
    })
    try {
      const url = await child.line((line) => /"url":"([^"]+)".*"msg":"ready"/.exec(line)?.[1], START_MS)
      const page = await fetch(url, { headers: { accept: 'text/html' } })
      expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('<title>')])
      expect(child.output()).toContain('npm ci --omit=dev')
    } finally {
      await child.kill('SIGTERM')
      await child.stopped
    }
    const record = await readFile(join(checkout, 'node_modules/.package-lock.json'), 'utf8')
    const { packages } = recordSchema.parse(JSON.parse(record))
    expect(Object.keys(packages).length).toBeLessThan(RUN_PACKAGES_MOST)
    expect(Object.keys(packages)).not.toContain('node_modules/vitest')
  },
)

describe('a checkout in which', () => {
  const run = { version: '1.0.0' }
  const develop = { version: '1.0.0', dev: true }
  const foreign = { version: '1.0.0', optional: true }
  const lock = { 'node_modules/run': run, 'node_modules/develop': develop, 'node_modules/foreign': foreign }

  /** The arguments with which lib.mjs calls npm, or undefined where it does not. `installed`: npm's record. */
  async function callOf(only: string, installed?: Record<string, object>): Promise<string | undefined> {
    const root = join(directory, `${only}-${Math.random().toString(36).slice(2)}`)
    await mkdir(join(root, 'node_modules/.bin'), { recursive: true })
    await mkdir(join(root, 'scripts'))
    await copyFile(`${REPOSITORY}scripts/lib.mjs`, join(root, 'scripts/lib.mjs'))
    await writeFile(join(root, 'package-lock.json'), JSON.stringify({ packages: lock }))
    await writeFile(join(root, 'node_modules/.bin/peerage'), '')
    if (installed !== undefined)
      await writeFile(join(root, 'node_modules/.package-lock.json'), JSON.stringify({ packages: installed }))
    const npm = join(root, 'npm.js')
    await writeFile(npm, 'console.log("CALLED", process.argv.slice(2).join(" "))')
    const program = `await (await import(${JSON.stringify(join(root, 'scripts/lib.mjs'))})).install({ only: '${only}' })`
    const { stdout } = await execute(process.execPath, ['--input-type=module', '-e', program], {
      env: childEnvironment({ npm_execpath: npm }),
    })
    return /^CALLED (.*)$/m.exec(stdout)?.[1]
  }
  const ALL = 'ci --no-audit --no-fund'
  const RUN = 'ci --omit=dev --no-audit --no-fund'

  test.each([
    ['nothing is installed', undefined, RUN, ALL],
    ['what a node needs is installed', { 'node_modules/run': run }, undefined, ALL],
    ['all is installed', { 'node_modules/run': run, 'node_modules/develop': develop }, undefined, undefined],
    [
      'all is installed, but in an old version: it stays whole',
      { 'node_modules/run': { version: '0.9.0' }, 'node_modules/develop': develop },
      ALL,
      ALL,
    ],
    [
      'only a development package is old',
      { 'node_modules/run': run, 'node_modules/develop': { version: '0.9.0', dev: true } },
      undefined,
      ALL,
    ],
  ])('%s', async (_, installed, forRun, forEverything) => {
    expect([await callOf('run', installed), await callOf('everything', installed)]).toEqual([
      forRun,
      forEverything,
    ])
  })
})
