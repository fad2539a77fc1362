import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const SLOW_MS = 60_000

/** What the second program leaves to its reader. */
const GIVEN = `import { connect } from '@peerage/client'
import type { ConnectOptions } from '@peerage/client'
declare const options: Required<ConnectOptions>
const { name, app, token, p2pServer, p2p, signal, onRetry } = options
`

/** What the program that connects by hand leaves to its reader. */
const BY_HAND = `
declare function show(text: string): void
declare function typed(): Promise<string>
`

const READMES = ['README.md', 'packages/client/README.md']

async function programsOf(file: string): Promise<string[]> {
  const readme = await readFile(join(ROOT, file), 'utf8')
  const programs = Array.from(readme.matchAll(/^```js\n(.*?)^```/gms), ([, program = '']) => program)
  expect(programs, file).not.toEqual([])
  return programs
}

// Before, `peer.p2p.connect(…)` of the README was an error of types: it may be null.
test(
  'the programs of the READMEs are right under TypeScript\u2019s strict',
  async () => {
    const programs = (await Promise.all(READMES.map(programsOf))).flat()
    expect(programs.length).toBeGreaterThan(2)
    // Below the root, so that it finds the package as any program here does.
    const directory = await mkdtemp(join(ROOT, 'node_modules', '.readme-'))
    try {
      const files = programs.map((program, i) => ({
        path: join(directory, `program-${i}.mts`),
        text: (program.includes('import {') ? program : GIVEN + program) + BY_HAND,
      }))
      for (const { path, text } of files) await writeFile(path, text)
      const strict = [
        '--ignoreConfig',
        '--noEmit',
        '--strict',
        '--skipLibCheck',
        '--module',
        'nodenext',
        '--target',
        'es2023',
      ]
      const lib = ['--lib', 'es2023,dom', '--types', 'node', '--customConditions', '@peerage/source']
      const args = [join(ROOT, 'node_modules/typescript/bin/tsc'), ...strict, ...lib]
      const failed = await run(process.execPath, [...args, ...files.map(({ path }) => path)], {
        cwd: ROOT,
      }).then(
        () => '',
        (error: Error & { stdout?: string }) => error.stdout ?? error.message,
      )
      expect(failed).toBe('')
    } finally {
      await rm(directory, { recursive: true })
    }
  },
  SLOW_MS,
)
