import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../', import.meta.url))

test('docs/api.md is what the docstrings give, and every exported member has one', async () => {
  const problems = await run(process.execPath, ['scripts/api.mjs', '--check'], { cwd: ROOT }).then(
    () => '',
    (error: Error & { stderr?: string }) => error.stderr ?? error.message,
  )
  expect(problems).toBe('')
}, 120_000)
