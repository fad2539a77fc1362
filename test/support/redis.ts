import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { makeDirectory, removeDirectory, startServer, type ServerProgram } from './fixture.js'
import { freePort } from './ports.js'
import { type Exit, type Running } from './process.js'

export const REDIS: ServerProgram = {
  name: 'redis',
  binaries: ['redis-server', 'valkey-server'],
  debianPackage: 'redis-server',
  version: { args: ['--version'], pattern: /v=(\S+)/ },
  image: 'redis',
  tag: '7',
}

export interface RedisOptions {
  /** The start of the version; only a container offers a choice. */
  version?: string
  /** More command line arguments, verbatim. */
  args?: readonly string[]
  /** Directives of redis.conf: `{ maxmemory: '100mb' }`. */
  config?: Readonly<Record<string, string>>
  /** The port; by default a free one. */
  port?: number
  /** ACL rules, as `ACL SETUSER` takes them: `['default off', 'peerage on >pw ~pg:* &pg:* +@all']`. */
  acl?: readonly string[]
  /** Serve TLS only, with certificates of `makeCertificates`. */
  tls?: { ca: string; cert: string; key: string }
  /** The login of `cli` and the readiness probe, if an ACL or `requirepass` requires one. */
  login?: { username?: string; password: string }
}

export interface RedisServer {
  /** `redis://127.0.0.1:PORT`, or `rediss://`; without credentials. */
  readonly url: string
  readonly host: string
  readonly port: number
  readonly pid: number
  /** Where it keeps its files. */
  readonly directory: string
  /** Settles when the current process has ended. */
  readonly stopped: Promise<Exit>
  output(): string
  /** Runs one command over a new connection. Returns the answer as redis-cli prints it raw, lists line by line. */
  cli(...args: readonly string[]): Promise<string>
  /** Sends SIGKILL and waits until the process is gone. */
  kill(): Promise<void>
  /** SIGSTOP and SIGCONT. */
  pause(): Promise<void>
  resume(): Promise<void>
  /**
   * Ends the server if it still runs, and starts it again on the same port.
   * `empty` (the default) deletes everything. Otherwise the data is saved first, or, if the server was killed before,
   * only the data that it had written to disk itself remains.
   */
  restart(options?: { empty?: boolean }): Promise<void>
  /** Ends the server and removes its files. */
  stop(): Promise<void>
}

const START_DEADLINE_MS = 15_000
const COMMAND_DEADLINE_MS = 5_000

/** Starts one Redis server on 127.0.0.1. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const directory = await makeDirectory('redis')
  const port = options.port ?? (await freePort())
  const args = [...serverArguments(options, port, directory), ...(options.args ?? [])]
  const host = '127.0.0.1'
  const cli = (...command: readonly string[]): Promise<string> => ask({ host, port, options }, command)
  const launch = (): Promise<Running> => {
    const what = `redis on port ${port} answers PING`
    return startServer(REDIS, {
      args,
      directory,
      ready: { what, probe: () => cli('PING'), deadlineMs: START_DEADLINE_MS },
      ...(options.version === undefined ? {} : { version: options.version }),
    })
  }

  let running = await launch()
  let alive = true
  const end = async (): Promise<void> => {
    if (alive) await running.stop()
    alive = false
  }
  return {
    url: `${options.tls === undefined ? 'redis' : 'rediss'}://${host}:${port}`,
    host,
    port,
    directory,
    get pid() {
      return running.pid
    },
    get stopped() {
      return running.stopped
    },
    output: () => running.output(),
    cli,
    kill: end,
    pause: () => running.pause(),
    resume: () => running.resume(),
    restart: async ({ empty = true } = {}) => {
      if (alive && !empty) await cli('SAVE')
      await end()
      if (empty) await forget(directory)
      running = await launch()
      alive = true
    },
    stop: async () => {
      await end()
      await removeDirectory(directory)
    },
  }
}

function serverArguments(options: RedisOptions, port: number, directory: string): string[] {
  const directives: Record<string, string> = {
    ...(options.tls === undefined ? { port: String(port) } : tlsDirectives(port, options.tls)),
    bind: '127.0.0.1',
    dir: directory,
    save: '',
    appendonly: 'no',
    daemonize: 'no',
    ...options.config,
  }
  const args = Object.entries(directives).flatMap(([name, value]) => [`--${name}`, value])
  return [...args, ...(options.acl ?? []).flatMap((rule) => ['--user', ...rule.split(' ')])]
}

/** TLS for clients and for other servers: replicas, sentinels, members of a cluster. */
export function tlsDirectives(port: number, tls: NonNullable<RedisOptions['tls']>): Record<string, string> {
  return {
    port: '0',
    'tls-port': String(port),
    'tls-ca-cert-file': tls.ca,
    'tls-cert-file': tls.cert,
    'tls-key-file': tls.key,
    'tls-auth-clients': 'no',
    'tls-replication': 'yes',
    'tls-cluster': 'yes',
  }
}

async function forget(directory: string): Promise<void> {
  await rm(join(directory, 'dump.rdb'), { force: true })
  await rm(join(directory, 'appendonlydir'), { recursive: true, force: true })
}

interface Target {
  host: string
  port: number
  options?: Pick<RedisOptions, 'tls' | 'login'>
}

/** Sends one command to a Redis server over a new connection. Rejects with Redis's own error text. */
export async function ask(target: Target, command: readonly string[]): Promise<string> {
  const [name, ...args] = command
  if (name === undefined) throw new Error('no command')
  const login = target.options?.login
  const connection = new Redis({
    host: target.host,
    port: target.port,
    lazyConnect: true,
    retryStrategy: () => null,
    connectTimeout: COMMAND_DEADLINE_MS,
    commandTimeout: COMMAND_DEADLINE_MS,
    enableReadyCheck: false,
    ...(login === undefined ? {} : login),
    // The certificate is self-made, and this probe does not test whether a certificate is trusted.
    ...(target.options?.tls === undefined ? {} : { tls: { rejectUnauthorized: false } }),
  })
  let reason: Error | undefined
  connection.on('error', (error: Error) => (reason = error))
  try {
    await connection.connect()
    return flatten(await connection.call(name, ...args))
  } catch (error) {
    throw reason ?? error
  } finally {
    connection.disconnect()
  }
}

function flatten(answer: unknown): string {
  if (answer === null || answer === undefined) return ''
  if (Array.isArray(answer)) return answer.map((item) => flatten(item)).join('\n')
  if (Buffer.isBuffer(answer)) return answer.toString()
  if (typeof answer === 'string') return answer
  return JSON.stringify(answer)
}
