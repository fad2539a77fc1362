import { createSocket } from 'node:dgram'
import { chmod, truncate } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { eventually } from '@peerage/test-support/process.js'
import { makeProject, type ComposeProject } from './compose.js'
import { theEngine } from './engine.js'

// What somebody sees who starts docker-compose.yml with a mistake.

const SECRET_FILES = { redis: 'redis.txt', coturn: 'turn.txt' } as const
const TEST_MS = 120_000
const LINE_MS = 30_000

const engine = theEngine()
let project: ComposeProject

beforeEach(async () => {
  project = await makeProject(engine)
}, TEST_MS)
afterEach(() => project.remove(), TEST_MS)

/** The lines that a service has logged, each once: the engine starts a container again and again that ends. */
const linesOf = (service: string): Promise<string[]> =>
  eventually(
    `${service} logs a line`,
    async () => {
      const lines = (await engine.output(['logs', project.container(service)])).split('\n')
      return lines[0] === '' ? undefined : [...new Set(lines)]
    },
    { deadlineMs: LINE_MS, everyMs: 500 },
  )

test(
  'without the secrets nothing starts, and one line names the file that is missing',
  async () => {
    const start = project.compose('up', '--detach', 'redis')
    await expect(start).rejects.toThrow(
      /^Error response from daemon: .*bind source path does not exist: \S*secrets\/redis\.txt$/m,
    )
  },
  TEST_MS,
)

const mistakes: readonly [string, (path: string) => Promise<void>][] = [
  ['may be read by its owner alone', (path) => chmod(path, 0o600)],
  ['is empty', (path) => truncate(path)],
]
for (const [mistake, make] of mistakes)
  for (const [service, file] of Object.entries(SECRET_FILES))
    test(`${service} does not start without a password if ${file} ${mistake}, and one line says so`, async () => {
      await project.makeSecrets()
      await make(join(project.folder, 'secrets', file))
      await expect(project.compose('up', '--detach', '--wait', service)).rejects.toThrow(
        new RegExp(`^(?:container )?${project.container(service)} .*$`, 'm'),
      )
      expect(await linesOf(service)).toEqual([
        expect.stringMatching(
          new RegExp(`^secrets/${file} is empty, or account \\d+ may not read it: make it as docker-compose`),
        ),
      ])
    }, 120_000)

test('a node that may not read its secrets names each of them, and ends', async () => {
  await project.makeSecrets()
  for (const file of Object.values(SECRET_FILES)) await chmod(join(project.folder, 'secrets', file), 0o600)
  await project.compose('up', '--detach', '--no-deps', 'node1')
  expect((await linesOf('node1')).toSorted()).toEqual([
    expect.stringMatching(/^ {2}p2p\.turn\.secret \(PEERAGE_P2P_TURN_SECRET_FILE\): cannot be read: EACCES/),
    expect.stringMatching(/^ {2}redis\.password \(PEERAGE_REDIS_PASSWORD_FILE\): cannot be read: EACCES/),
    'peerage: the configuration has 2 problems:',
  ])
}, 120_000)

test('a port that is taken is named in one line, by the engine for HAProxy and by the P2P server itself', async () => {
  const tcp = createServer().listen(8080)
  onTestFinished(() => void tcp.close())
  const udp = createSocket('udp4').bind(9901)
  onTestFinished(() => void udp.close())
  const balancer = project.compose('up', '--detach', '--no-deps', 'haproxy')
  await expect(balancer).rejects.toThrow(/port 8080 of \S+ is taken/)
  await project.compose('up', '--detach', 'p2p')
  expect(await linesOf('p2p')).toEqual([expect.stringMatching(/9901/)])
}, 120_000)
