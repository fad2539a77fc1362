import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { eventually } from '@peerage/test-support/process.js'
import { theEngine } from './engine.js'
import { ended, leftContainers, RESTRICTED, runImage, startImage, type Container } from './our-image.js'

// Every command of the program in our image, and what it says of bad input.

const KEY_FILE = '--env=PEERAGE_ACCESS_KEY_FILE=/run/secrets/key'
const REDIS = 'image-redis'
const NETWORK = 'image-network'
const PROGRAM = ['/nodejs/bin/node', 'packages/server/bin/peerage.js'] as const

let directory: string
let node: Container

beforeAll(async () => {
  directory = await makeDirectory('image-commands')
  await chmod(directory, 0o755)
  const engine = theEngine()
  await engine.docker(['network', 'create', NETWORK])
  await engine.docker([
    'run',
    '--detach',
    '--name',
    REDIS,
    '--network',
    NETWORK,
    'redis:7.4',
    'redis-server',
    '--maxmemory-policy',
    'noeviction',
    '--save',
    '',
  ])
  const pong = async (): Promise<true | undefined> =>
    (await engine.docker(['exec', REDIS, 'redis-cli', 'ping'])) === 'PONG' ? true : undefined
  await eventually('Redis answers', pong, { deadlineMs: 20_000 })
  const config = await file(
    'peerage.yaml',
    `redis: { url: 'redis://${REDIS}' }\norigins: [https://app.example]\n`,
  )
  node = await startImage(
    'image-node',
    [...RESTRICTED, '--network', NETWORK, `--volume=${config}:/etc/peerage/peerage.yaml:ro`],
    ['serve', '--config', '/etc/peerage/peerage.yaml'],
  )
  await node.logs('"msg":"ready"')
})
afterAll(async () => {
  const engine = theEngine()
  await node?.remove()
  await ended(['rm', '--force', '--volumes', REDIS])
  await ended(['network', 'rm', NETWORK])
  await removeDirectory(directory)
  expect(await leftContainers()).toEqual([])
  expect(await engine.docker(['network', 'ls', '--quiet', '--filter', 'name=^image-'])).toBe('')
})

async function file(name: string, text: string, mode = 0o644): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, text)
  await chmod(path, mode)
  return path
}

/** A line after the one that says how many problems there are. */
const problem = (line: string | RegExp) => ({
  code: 2,
  err: [
    'peerage: the configuration has a problem:',
    typeof line === 'string' ? `  ${line}` : (expect.stringMatching(line) as unknown),
  ],
})

describe('commands', () => {
  test('version, and the help of each command', async () => {
    expect(await runImage([], ['version'])).toMatchObject({
      code: 0,
      out: [expect.stringMatching(/^peerage \d+\.\d+\.\d+ \(Node v26\.\d+\.\d+\)$/)],
    })
    const help = await runImage([], ['--help'])
    expect(help.code).toBe(0)
    const commands = help.out
      .slice(help.out.indexOf('Commands:') + 1, help.out.indexOf('Examples:'))
      .flatMap((line) => /^ {2}([a-z-]+) /.exec(line)?.[1] ?? [])
    expect(commands).toEqual(
      expect.arrayContaining([
        'serve',
        'stun',
        'doctor',
        'check-config',
        'token',
        'send',
        'receive',
        'cluster',
      ]),
    )
    for (const command of commands.filter((each) => each !== 'help')) {
      const { code, out } = await node.exec(...PROGRAM, command, '--help')
      expect([command, code, out[0]]).toEqual([
        command,
        0,
        expect.stringMatching(`^Usage: peerage ${command}`),
      ])
    }
  })

  test('check-config, print-config and token', async () => {
    const origins = '--env=PEERAGE_ORIGINS=https://app.example'
    expect(await runImage([origins], ['check-config'])).toMatchObject({
      code: 0,
      out: ['the configuration is fine'],
    })
    const printed = await runImage([origins], ['print-config'])
    expect(printed).toMatchObject({
      code: 0,
      out: expect.arrayContaining([expect.stringMatching(/app\.example/)]) as unknown,
    })
    const secret = await file('token.secret', 'a secret of at least thirty-two bytes')
    const minted = await runImage(
      [`--volume=${secret}:/run/secrets/token:ro`],
      ['token', 'mint', '--app', 'chat', '--sub', 'alice', '--secret-file', '/run/secrets/token'],
    )
    expect(minted).toMatchObject({ code: 0, out: [expect.stringMatching(/^ey[\w-]+\.[\w-]+\.[\w-]+$/)] })
  })

  test('doctor, as docs/deploy.md runs it in a pod, beside the node', async () => {
    const { code, out } = await node.exec(...PROGRAM, 'doctor', '--config', '/etc/peerage/peerage.yaml')
    expect(
      out
        .filter((line) => /^(?:ok|fail) +(?:node|redis|page|entrance) /.test(line))
        .map((line) => line.slice(0, 4)),
    ).not.toContain('fail')
    expect(out).toContainEqual(expect.stringMatching(/^ok +redis +/))
    expect(out).toContainEqual(expect.stringMatching(/^ok +page +built/))
    expect(code).toBe(0)
  })

  test('cluster says that the image has neither Redis nor HAProxy', async () => {
    expect(await runImage([], ['cluster'])).toMatchObject({
      code: 1,
      err: expect.arrayContaining([
        'peerage: not installed: redis-server or valkey-server, haproxy',
      ]) as unknown,
    })
  })
})

describe('bad input', () => {
  test('no rule for access', async () => {
    expect(await runImage([], [])).toMatchObject(
      problem(
        'host (PEERAGE_HOST): is beyond loopback, and no rule says who may connect: set access.key or origins, or open (--open) if anybody may',
      ),
    )
  })

  test.each<[string, string | undefined, number, string | RegExp]>([
    [
      'missing',
      undefined,
      0,
      "access.key (PEERAGE_ACCESS_KEY_FILE): cannot be read: ENOENT: no such file or directory, open '/run/secrets/key'",
    ],
    [
      'of another account',
      'a-key-of-16-letters',
      0o600,
      "access.key (PEERAGE_ACCESS_KEY_FILE): cannot be read: EACCES: permission denied, open '/run/secrets/key'; the account that runs this program needs the permission to read it",
    ],
    ['empty', '\n', 0o644, 'access.key (PEERAGE_ACCESS_KEY_FILE): must not be empty'],
    ['too short', 'short', 0o644, 'access.key (PEERAGE_ACCESS_KEY_FILE): must be at least 16 characters'],
  ])('a file of a secret that is %s', async (name, text, mode, line) => {
    const mounted =
      text === undefined
        ? []
        : [`--volume=${await file(`key-${name}`.replaceAll(' ', '-'), text, mode)}:/run/secrets/key:ro`]
    expect(await runImage([KEY_FILE, ...mounted], [])).toMatchObject(problem(line))
  })

  test('a file of a secret that every account can read is taken, and doctor says when that matters', async () => {
    const mounted = `--volume=${await file('key-0444', 'a-key-of-16-letters', 0o444)}:/run/secrets/key:ro`
    // Engines mount secrets like this, and there is only one account in the container.
    expect(await runImage([KEY_FILE, mounted], ['check-config'])).toMatchObject({ code: 0 })
    const { code, out } = await runImage([KEY_FILE, mounted], ['doctor'])
    expect(code).toBe(0)
    expect(out).toContainEqual(
      expect.stringMatching(
        /^warn +secrets +\/run\/secrets\/key can be read by every account of this machine: .*unless this is a container with one account$/,
      ),
    )
  })

  test('a configuration file that is missing, or a folder', async () => {
    const serve = ['serve', '--config', '/etc/peerage/peerage.yaml']
    expect(await runImage([], serve)).toMatchObject(
      problem(/\/etc\/peerage\/peerage\.yaml \(--config\): cannot be read: ENOENT/),
    )
    // An engine makes a folder for a file that is not on the machine.
    expect(await runImage([`--volume=${directory}:/etc/peerage/peerage.yaml:ro`], serve)).toMatchObject(
      problem(/\(--config\): cannot be read: EISDIR/),
    )
  })

  test('a port that is taken', async () => {
    const beside = [`--network=container:${node.name}`]
    expect(await runImage([...beside, '--env=PEERAGE_OPEN=true'], [])).toMatchObject({
      code: 1,
      err: [expect.stringMatching(/^peerage: .*9000/), expect.stringMatching(/^For another port: /)],
    })
    expect(await runImage(beside, ['stun', '--port', '9001'])).toMatchObject({
      code: 1,
      err: [expect.stringMatching(/^peerage: .*9001/)],
    })
  })

  test('a wrong setting, flag or command', async () => {
    expect(await runImage(['--env=PEERAGE_OPEN=true', '--env=PEERAGE_PROT=1'], [])).toMatchObject(
      problem(/PEERAGE_PROT \(environment\): is not a variable of peerage; did you mean PEERAGE_PORT\?/),
    )
    expect(await runImage([], ['serve', '--opn'])).toMatchObject({ code: 2 })
    expect(await runImage([], ['nonsense'])).toMatchObject({
      code: 2,
      err: ["error: unknown command 'nonsense'", expect.any(String)],
    })
  })

  test('doctor without its Redis fails, and says what to check', async () => {
    const { code, out } = await runImage(
      ['--env=PEERAGE_OPEN=true', '--env=PEERAGE_REDIS=redis://redis.invalid'],
      ['doctor'],
    )
    expect(code).toBe(1)
    expect(out).toContainEqual(
      expect.stringMatching(/^fail +redis +getaddrinfo \w+ redis\.invalid; check redis\.url/),
    )
  })
})
