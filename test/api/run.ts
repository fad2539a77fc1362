import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { startNode } from '@peerage/test-support/node.js'
import { wholeNumber } from '@peerage/test-support/usage.js'

// Attacks each operation of the API with requests that schemathesis generates from the OpenAPI document of a node.

/** The generator, which pip installs into a folder of its own. */
const SCHEMATHESIS = 'schemathesis==4.32.5'
const KEY = 'key-of-the-default-app-000'
const SECRET = 'a secret of at least thirty-two bytes'
/** Below the rate that an app may send. */
const RATE = '150/s'
/**
 * JSON Schema cannot say all that a name must be (printable, at most 128 bytes), and a cursor is of one list. So some
 * requests that fit the schema are refused.
 */
const NOT_CHECKED = 'positive_data_acceptance'

/** A body that is too long is refused as such (413), before anybody looks at what is wrong in it. */
const CONFIG = `[checks]
negative_data_rejection.expected-statuses = [400, 401, 404, 405, 413, 415]
`

export const USAGE = `npm run test:api -- [--examples N] [--seed N]

Starts a node and attacks each operation of its API with schemathesis, which is installed from PyPI for this run.
  --examples N  requests of each kind for each operation (default: 100)
  --seed N      repeats a run`

export async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { examples: { type: 'string', default: '100' }, seed: { type: 'string' } },
  })
  const examples = wholeNumber('examples', values.examples, 1)
  const directory = await makeDirectory('schemathesis')
  const node = await startNode({
    env: {
      PEERAGE_API_KEYS: KEY,
      PEERAGE_ACCESS_MODE: 'token',
      PEERAGE_ACCESS_TOKEN_ALGORITHMS: 'HS256',
      PEERAGE_ACCESS_TOKEN_SECRET: SECRET,
    },
  })
  try {
    await mustRun('python3', ['-m', 'venv', directory], directory)
    const install = ['install', '--quiet', '--disable-pip-version-check', SCHEMATHESIS]
    await mustRun(join(directory, 'bin/pip'), install, directory)
    const config = join(directory, 'schemathesis.toml')
    await writeFile(config, CONFIG)
    const attack = [
      '--config-file',
      config,
      'run',
      `${node.url}/v1/openapi.json`,
      '--header',
      `Authorization: Bearer ${KEY}`,
      '--exclude-checks',
      NOT_CHECKED,
      '--rate-limit',
      RATE,
      '--max-examples',
      String(examples),
      '--request-timeout',
      '40',
      '--continue-on-failure',
      ...(values.seed === undefined ? [] : ['--seed', values.seed]),
    ]
    return await run(join(directory, 'bin/schemathesis'), attack, directory)
  } finally {
    await node.stop()
    await removeDirectory(directory)
  }
}

async function mustRun(command: string, args: readonly string[], cwd: string): Promise<void> {
  const code = await run(command, args, cwd)
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}`)
}

/** `cwd`: where the program leaves its files. */
async function run(command: string, args: readonly string[], cwd: string): Promise<number> {
  const child = spawn(command, args, { stdio: 'inherit', cwd })
  const [code] = await once(child, 'close')
  return typeof code === 'number' ? code : 1
}
