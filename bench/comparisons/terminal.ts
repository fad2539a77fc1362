import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { startChild, type Child } from '@peerage/test-support/process.js'
import { freePort } from '@peerage/test-support/ports.js'
import type { Comparison, Contender, Metrics } from '../lib/comparison.js'
import { REPOSITORY } from '../lib/processes.js'
import { startStack } from '../stacks.js'

const MIB = 1024 * 1024
const FILE_MIB = 512
const QUICK_MIB = 16
const DEADLINE_MS = 300_000
const CROC = 'github.com/schollz/croc/v10@v10.7.0'
const CODE = '7421-bench-bench-bench'

const PEERAGE = 'peerage send, receive'
const CROC_NAME = 'croc'

interface Folders {
  file: string
  out: string
  bytes: Buffer
  remove(): Promise<void>
}

async function makeFolders(quick: boolean): Promise<Folders> {
  const folder = await mkdtemp(join(tmpdir(), 'peerage-bench-'))
  const bytes = randomBytes((quick ? QUICK_MIB : FILE_MIB) * MIB)
  const file = join(folder, 'file.bin')
  const out = join(folder, 'out')
  await mkdir(out)
  await writeFile(file, bytes)
  return { file, out, bytes, remove: () => rm(folder, { recursive: true, force: true }) }
}

/** From the start of the receiving program to its end, with a file that is equal. */
async function receive(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  folders: Folders,
): Promise<Metrics> {
  const start = performance.now()
  const { code } = await (await startChild({ command, args, env })).stopped
  const seconds = (performance.now() - start) / 1000
  const arrived = join(folders.out, 'file.bin')
  if (code !== 0 || !folders.bytes.equals(await readFile(arrived)))
    throw new Error(`${command} ended with ${code}, or the file differs`)
  await rm(arrived)
  return { mibPerSecond: folders.bytes.length / MIB / seconds }
}

const peerage: Contender = {
  name: PEERAGE,
  start: async ({ quick }) => {
    const stack = await startStack('peerage', 1)
    const folders = await makeFolders(quick)
    const script = `${REPOSITORY}packages/server/bin/peerage.js`
    const server = `http://127.0.0.1:${stack.ports[0] ?? 0}`
    const args = [script, 'send', folders.file, '--server', server, '--no-code', '--json']
    const sender = await startChild({ command: process.execPath, args })
    const link = await sender.line(linkIn, DEADLINE_MS)
    return {
      measure: () =>
        receive(
          process.execPath,
          [script, 'receive', link, '--yes', '--json', '--to', folders.out],
          {},
          folders,
        ),
      stop: async () => {
        await sender.stop()
        await stack.stop()
        await folders.remove()
      },
    }
  },
}

function linkIn(line: string): string | undefined {
  const [, link] = /"event":"share".*"link":"([^"]+)"/.exec(line) ?? []
  return link
}

const croc: Contender = {
  name: CROC_NAME,
  start: async ({ quick }) => {
    const command = await findCroc()
    const folders = await makeFolders(quick)
    const ports = await Promise.all([1, 2, 3, 4, 5].map(() => freePort()))
    const relay = `127.0.0.1:${ports[0]}`
    const relayArgs = ['relay', '--host', '127.0.0.1', '--ports', ports.join(',')]
    const server: Child = await startChild({ command, args: relayArgs })
    const env = { CROC_SECRET: CODE }
    return {
      measure: async () => {
        // A croc sender serves one receiver. It has hashed the file and waits before the time runs.
        const args = ['--ignore-stdin', '--relay', relay, 'send', '--no-local', folders.file]
        const sender = await startChild({ command, args, env })
        await sender.line((line) => (line.includes('Code is') ? true : undefined), DEADLINE_MS)
        return receive(
          command,
          ['--ignore-stdin', '--relay', relay, '--yes', '--out', folders.out],
          env,
          folders,
        )
      },
      stop: async () => {
        await server.stop()
        await folders.remove()
      },
    }
  },
}

/** The `croc` of the PATH, or one that Go builds. */
async function findCroc(): Promise<string> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const file = join(folder, 'croc')
    if (
      await access(file).then(
        () => true,
        () => false,
      )
    )
      return file
  }
  const folder = join(tmpdir(), 'peerage-bench-croc')
  await promisify(execFile)('go', ['install', CROC], { env: { ...process.env, GOBIN: folder } }).catch(
    (cause: unknown) => {
      throw new Error(`no croc in the PATH, and Go could not build it: go install ${CROC}`, { cause })
    },
  )
  return join(folder, 'croc')
}

export const terminal: readonly Comparison[] = [
  {
    id: 'terminal',
    title: 'A file from one terminal to another',
    load:
      `${FILE_MIB} MiB of random bytes on one machine, from the start of the receiving program to its end, with equal ` +
      `bytes; Peerage over a direct channel (node-datachannel), croc through its own relay on this machine`,
    processes: 'kept',
    rounds: 3,
    contenders: [peerage, croc],
    rows: [
      { measure: 'bytes moved', metric: 'mibPerSecond', unit: 'MiB/s', subject: PEERAGE, against: CROC_NAME },
    ],
  },
]
