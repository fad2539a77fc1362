import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { announce, locate } from './binary.js'
import { run, startChild, type Child, type Exit } from './process.js'
import { removeDirectory, makeDirectory } from './fixture.js'

export interface NodeOptions {
  /** The value of `--redis`. Without it the node keeps its names in memory and runs alone. */
  redisUrl?: string
  /** Additional arguments of `peerage serve`. They come last, so they override those of this fixture. */
  args?: readonly string[]
  /** Added to this process's environment. */
  env?: Readonly<Record<string, string>>
  /** A command that runs the node's command line and execs into it, such as a namespace's `through`. */
  through?: readonly string[]
  /** The interval of its beats; by default `BEAT_MS`. */
  beatMs?: number
  /** `listening` does not wait for Redis, for a node that is started without one. Default `ready`. */
  until?: 'ready' | 'listening'
  withinMs?: number
}

/** One JSON line of a node's log. */
export type LogRecord = Readonly<Record<string, unknown>>

export interface Node {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string
  readonly host: string
  readonly port: number
  /** Where the integrated P2P server listens, if there is one. */
  readonly p2p: { host: string; port: number } | undefined
  /** The base URL of the admin port, if it has one. */
  readonly admin: string | undefined
  readonly pid: number
  /** Its id, new at every start. */
  readonly id: string
  readonly stopped: Promise<Exit>
  output(): string
  /** Every log record so far. */
  logs(): LogRecord[]
  /** The first record, past or future, that `matches`. Rejects at the deadline or when the node ends. */
  log(matches: (record: LogRecord) => boolean, deadlineMs?: number): Promise<LogRecord>
  /** Sends SIGKILL and waits until the node is gone. */
  kill(): Promise<void>
  /** Sends SIGTERM, which drains the node, and waits for its end. At the deadline it kills the node and rejects. */
  terminate(deadlineMs?: number): Promise<Exit>
  /** SIGSTOP and SIGCONT. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** As `kill`, and removes the node's files. */
  stop(): Promise<void>
}

export const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url))
export const PEERAGE_BIN = `${REPOSITORY}packages/server/bin/peerage.js`

/**
 * A node that finds Redis empty is ready only after one beat, in which other nodes would have restored their names [SET3].
 * With the default of two seconds that would be most of its start.
 */
const BEAT_MS = 400
const READY_DEADLINE_MS = 20_000
const DRAIN_DEADLINE_MS = 60_000
const LOG_DEADLINE_MS = 10_000
const BUILD_DEADLINE_MS = 180_000
/** Set if everything is already built for this run. */
export const BUILT = 'PEERAGE_TEST_BUILT'

const USUAL_FLAGS = [['--port', '0'], ['--host', '127.0.0.1'], ['--open']] as const

let built: Promise<void> | undefined

/** Starts one node, `peerage serve`, in its own process, and waits until it reports that it is ready. */
export async function startNode(options: NodeOptions = {}): Promise<Node> {
  await ensureBuilt()
  const directory = await makeDirectory('node')
  const redis = options.redisUrl === undefined ? [] : ['--redis', options.redisUrl]
  const own = options.args ?? []
  // The node refuses a flag that is given twice.
  const usual = USUAL_FLAGS.filter(([flag]) => !own.includes(flag)).flat()
  const serve = ['serve', ...usual, ...redis, ...own]
  const [command, ...args] = [...(options.through ?? []), process.execPath, PEERAGE_BIN, ...serve]
  if (command === undefined) throw new Error('no command')
  const times = { PEERAGE_TIMES_BEAT_MS: String(options.beatMs ?? BEAT_MS) }
  const env = { ...times, ...options.env }
  const child = await startChild({ command, args, cwd: directory, env })
  try {
    const addresses = await child.line(
      (line) => readAddresses(line, options.until ?? 'ready'),
      options.withinMs ?? READY_DEADLINE_MS,
    )
    return describe(child, addresses, directory)
  } catch (error) {
    await child.stop()
    await removeDirectory(directory)
    throw error
  }
}

/** For tests that run `peerage` themselves: brings dist up to date with src. */
export async function ensureBuilt(): Promise<void> {
  if (process.env[BUILT] !== undefined) return
  built ??= build()
  await built
}

/** Starts several nodes on one Redis, at the same time. */
export function startNodes(count: number, options: NodeOptions = {}): Promise<Node[]> {
  return Promise.all(Array.from({ length: count }, () => startNode(options)))
}

function describe(child: Child, addresses: Addresses, directory: string): Node {
  const end = async (): Promise<void> => {
    await child.stop()
    await removeDirectory(directory)
  }
  return {
    ...addresses,
    pid: child.pid,
    stopped: child.stopped,
    output: () => child.output(),
    logs: () => child.lines.map(parseRecord).filter((record) => record !== undefined),
    log: (matches, deadlineMs = LOG_DEADLINE_MS) =>
      child.line((line) => {
        const record = parseRecord(line)
        return record !== undefined && matches(record) ? record : undefined
      }, deadlineMs),
    kill: () => child.stop(),
    terminate: async (deadlineMs = DRAIN_DEADLINE_MS) => {
      let late = false
      const timer = setTimeout(() => {
        late = true
        void child.kill('SIGKILL')
      }, deadlineMs)
      await child.kill('SIGTERM')
      const exit = await child.stopped
      clearTimeout(timer)
      if (late) throw new Error(`the node did not drain within ${deadlineMs} ms:\n${child.output()}`)
      return exit
    },
    pause: () => child.pause(),
    resume: () => child.resume(),
    stop: end,
  }
}

type Addresses = Pick<Node, 'id' | 'url' | 'host' | 'port' | 'p2p' | 'admin'>

/** The node prints one JSON line with its addresses when it listens, and again when it is ready. */
function readAddresses(line: string, until: 'ready' | 'listening'): Addresses | undefined {
  const record = parseRecord(line)
  if (record?.['msg'] !== until) return undefined
  const { node: id, url, port, p2p, admin } = record
  if (typeof id !== 'string' || typeof url !== 'string' || typeof port !== 'number') {
    throw new Error(`the ${until} line lacks its node, url or port: ${line}`)
  }
  const host = new URL(url).hostname
  const udp = typeof p2p === 'object' && p2p !== null && 'port' in p2p ? Number(p2p.port) : undefined
  return {
    id,
    url,
    host,
    port,
    p2p: udp === undefined ? undefined : { host, port: udp },
    admin: typeof admin === 'string' ? admin : undefined,
  }
}

function parseRecord(line: string): LogRecord | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined // not a log record: a crash prints plain text
  }
}

/**
 * Node processes run what tsc built. A stale build would test old code, so each run of the tests builds first (a second if
 * nothing changed). flock keeps parallel runs from writing at the same time.
 */
async function build(): Promise<void> {
  const tsc = [process.execPath, `${REPOSITORY}node_modules/typescript/bin/tsc`, '-b', REPOSITORY]
  const flock = locate('flock')
  const [command, ...args] = flock === undefined ? tsc : [flock, `${REPOSITORY}tsconfig.json`, ...tsc]
  if (command === undefined) throw new Error('no command')
  try {
    await run(command, args, BUILD_DEADLINE_MS)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    if (!existsSync(PEERAGE_BIN)) throw error
    announce(`node: the build has errors; running the old files in dist\n${message}`)
  }
}
