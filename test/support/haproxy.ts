import { copyFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { fixtureOf, makeDirectory, startServer, type Fixture, type ServerProgram } from './fixture.js'
import { freePort } from './ports.js'
import { eventually, type Running } from './process.js'

export const HAPROXY: ServerProgram = {
  name: 'haproxy',
  binaries: ['haproxy'],
  debianPackage: 'haproxy',
  version: { args: ['-v'], pattern: /version (\d[\d.]*)/ },
  image: 'haproxy',
  tag: '2.8',
}

export interface HaproxyOptions {
  /** The nodes behind it, at most twelve. They may start later. */
  backends: readonly { host: string; port: number }[]
  /** A complete configuration instead of the shipped `deploy/haproxy.cfg`. */
  config?: string
  /** Additional variables of the shipped file: `{ PEERAGE_TUNNEL_TIMEOUT: '30s' }`. */
  env?: Readonly<Record<string, string>>
  port?: number
}

/** HAProxy's view of a backend: `UP`, `DOWN` or `MAINT`, with a fraction while checks are changing it. */
export interface BackendState {
  /** `node1`, … in the order of `backends`. */
  name: string
  status: string
  /** Open connections, WebSockets included. */
  sessions: number
  /** All connections that it was ever given. */
  total: number
}

/** What HAProxy's runtime API can do; see `runtimeOf`. */
export interface HaproxyRuntime {
  /** Runs a command of the runtime API and returns its output. */
  command(line: string): Promise<string>
  /** Takes a backend (counted from 0) out of the rotation, or puts it back. */
  disable(backend: number): Promise<void>
  enable(backend: number): Promise<void>
  /** Closes every connection to this backend. */
  cut(backend: number): Promise<void>
  states(): Promise<BackendState[]>
  /** Waits until HAProxy's own check has found the backend in this state. */
  until(backend: number, status: 'UP' | 'DOWN' | 'MAINT', deadlineMs?: number): Promise<void>
}

export interface Haproxy extends Fixture, HaproxyRuntime {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string
  readonly host: string
  readonly port: number
}

const SHIPPED_CONFIG = fileURLToPath(new URL('../../deploy/haproxy.cfg', import.meta.url))
const START_DEADLINE_MS = 10_000
const STATE_DEADLINE_MS = 10_000
// The shipped file checks once a second; a shorter interval makes tests faster.
const CHECK_INTERVAL = '200ms'

/** Starts HAProxy on 127.0.0.1 with the shipped configuration: round-robin, without sticky sessions. */
export async function startHaproxy(options: HaproxyOptions): Promise<Haproxy> {
  const directory = await makeDirectory('haproxy')
  const port = options.port ?? (await freePort())
  const configFile = join(directory, 'haproxy.cfg')
  const socket = join(directory, 'admin.sock')
  if (options.config === undefined) await copyFile(SHIPPED_CONFIG, configFile)
  else await writeFile(configFile, options.config)

  const running = await startServer(HAPROXY, {
    args: ['-db', '-f', configFile],
    directory,
    env: {
      PEERAGE_BIND: `127.0.0.1:${port}`,
      PEERAGE_ADMIN_SOCKET: socket,
      PEERAGE_CHECK_INTERVAL: CHECK_INTERVAL,
      ...nodeVariables(options.backends),
      ...options.env,
    },
    ready: { what: 'haproxy listens', probe: () => ask(socket, 'show info'), deadlineMs: START_DEADLINE_MS },
  })

  return {
    url: `http://127.0.0.1:${port}`,
    host: '127.0.0.1',
    port,
    ...runtimeOf(socket, running),
    ...fixtureOf(running, directory),
  }
}

/** The runtime API behind a Unix socket. If `running` ends, `until` gives up. */
export function runtimeOf(socket: string, running?: Running): HaproxyRuntime {
  const command = (line: string): Promise<string> => ask(socket, line)
  const states = async (): Promise<BackendState[]> => parseStates(await command('show stat'))
  return {
    command,
    disable: (backend) => expectSilence(command(`disable server ${server(backend)}`)),
    enable: (backend) => expectSilence(command(`enable server ${server(backend)}`)),
    cut: (backend) => expectSilence(command(`shutdown sessions server ${server(backend)}`)),
    states,
    until: async (backend, status, deadlineMs = STATE_DEADLINE_MS) => {
      await eventually(
        `haproxy finds ${server(backend)} ${status}`,
        async () => {
          const found = (await states())[backend]?.status
          // «UP 1/3» means that the next failed check makes the server DOWN, as for one that has just been enabled.
          if (found === status) return true
          throw new Error(`it is ${found ?? 'unknown'}`)
        },
        { deadlineMs, ...(running === undefined ? {} : { running }) },
      )
    },
  }
}

function nodeVariables(backends: HaproxyOptions['backends']): Record<string, string> {
  return Object.fromEntries(
    backends.map(({ host, port }, index) => [`PEERAGE_NODE_${index + 1}`, `${host}:${port}`]),
  )
}

function server(backend: number): string {
  return `nodes/node${backend + 1}`
}

async function ask(socketPath: string, line: string): Promise<string> {
  const socket = connect(socketPath)
  socket.end(`${line}\n`)
  return text(socket)
}

/** Commands that change something print nothing if they succeed. */
async function expectSilence(answer: Promise<string>): Promise<void> {
  const said = (await answer).trim()
  if (said !== '') throw new Error(`haproxy: ${said}`)
}

/** Reads the CSV of `show stat`. Its first line, after a `#`, names the columns. */
function parseStates(csv: string): BackendState[] {
  const [head, ...rows] = csv.trim().split('\n')
  const columns = (head ?? '').replace(/^# /, '').split(',')
  const cell = (row: string, column: string): string => row.split(',')[columns.indexOf(column)] ?? ''
  return rows
    .filter((row) => cell(row, 'pxname') === 'nodes' && cell(row, 'svname') !== 'BACKEND')
    .map((row) => ({
      name: cell(row, 'svname'),
      status: cell(row, 'status'),
      sessions: Number(cell(row, 'scur')),
      total: Number(cell(row, 'stot')),
    }))
}
