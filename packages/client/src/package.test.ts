import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { expect, test } from 'vitest'

const run = promisify(execFile)
const PACKAGE = fileURLToPath(new URL('..', import.meta.url))
const tool = (path: string): string =>
  fileURLToPath(new URL(`../../../node_modules/${path}`, import.meta.url))
const SLOW_MS = 120_000

test(
  'what is published resolves, with types, for Node and for bundlers (publint, attw)',
  async () => {
    await run(process.execPath, [tool('typescript/bin/tsc'), '-b', PACKAGE])
    const { messages } = await publint({ pkgDir: PACKAGE, strict: true })
    expect(messages).toEqual([])
    const directory = await mkdtemp(join(tmpdir(), 'peerage-pack-'))
    try {
      const pack = await run('npm', ['pack', '--json', '--pack-destination', directory], { cwd: PACKAGE })
      const packed: unknown = JSON.parse(pack.stdout)
      const file = Array.isArray(packed) ? String(packed[0]?.filename) : ''
      const attw = [tool('@arethetypeswrong/cli/dist/index.js'), join(directory, file)]
      const { stdout } = await run(process.execPath, [
        ...attw,
        '--profile',
        'esm-only',
        '--format',
        'table-flipped',
      ])
      expect(stdout).toContain('@peerage/client/react')
    } finally {
      await rm(directory, { recursive: true })
    }
  },
  SLOW_MS,
)
