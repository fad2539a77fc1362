import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { childEnvironment } from '@peerage/test-support/process.js'

const NPM_FLAGS = new URL('npm-flags.mjs', import.meta.url).href

let root: string
beforeEach(() => {
  root = `${mkdtempSync(join(tmpdir(), 'start-'))}/`
})
afterEach(() => rmSync(root, { recursive: true }))

/** A checkout whose build refuses every flag but `--port`. */
function build(): void {
  for (const folder of ['docs', 'packages/server/dist', 'packages/server/bin'])
    mkdirSync(root + folder, { recursive: true })
  writeFileSync(`${root}docs/settings.md`, '')
  writeFileSync(`${root}packages/server/tsconfig.tsbuildinfo`, '')
  writeFileSync(`${root}packages/server/dist/main.js`, '')
  const program = `process.exit(process.argv[2] === 'check-config' && process.argv[3] === '--port' ? 0 : 2)`
  writeFileSync(`${root}packages/server/bin/peerage.js`, program)
  settingsAreOf(1_000)
}

/** When the table of settings was written. The build is of second 2,000. */
function settingsAreOf(second: number): void {
  utimesSync(`${root}docs/settings.md`, second, second)
  utimesSync(`${root}packages/server/tsconfig.tsbuildinfo`, 2_000, 2_000)
}

function refuses(...words: string[]): boolean {
  const [list, at] = [JSON.stringify(words), JSON.stringify(root)]
  const program = `import { refusesFlags } from '${NPM_FLAGS}'; console.log(refusesFlags(${list}, ${at}))`
  const cwd = fileURLToPath(new URL('.', import.meta.url))
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    cwd,
    env: childEnvironment(),
  })
  return said.trim() === 'true'
}

test('npm start asks the node of the last build about its flags before it builds', () => {
  build()
  expect(refuses('--prot', '1')).toBe(true)
  expect(refuses('--port', '1')).toBe(false)
  expect(refuses()).toBe(false)
})

test('without a build, and with settings newer than the build, npm start leaves the flags to serve', () => {
  expect(refuses('--prot', '1')).toBe(false)
  build()
  settingsAreOf(3_000)
  expect(refuses('--prot', '1')).toBe(false)
})
