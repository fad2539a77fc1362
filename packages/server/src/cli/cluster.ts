import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { inTurn } from '@peerage/core'
import { bounded, closeServer, listenTcp } from '../http/listen.js'
import type { UrlWire } from '../config/url-wires.js'
import { reasonOf } from '../lib/reason.js'
import { locate, startProcess, type ClusterProcess } from './cluster-process.js'
import { toldToEnd, type ExitCode, type Surroundings } from './surroundings.js'

export interface ClusterOptions {
  nodes: number
  /** HAProxy's port on 127.0.0.1. */
  port: number
  verbose: boolean
  /** The wires that each node serves beside those that are on by default. */
  wires: readonly UrlWire[]
}

/** deploy/haproxy.cfg names this many nodes. */
const NODES_MOST = 12
const HOST = '127.0.0.1'
const READY_WITHIN_MS = 20_000

const BIN = fileURLToPath(new URL('../../bin/peerage.js', import.meta.url))
/** The build copies it here from deploy/. */
const HAPROXY_CONFIG = fileURLToPath(new URL('../../dist/haproxy.cfg', import.meta.url))

/** The programs that must be installed, and the Debian package of each. */
const PROGRAMS = {
  redis: { names: ['redis-server', 'valkey-server'], debianPackage: 'redis-server' },
  haproxy: { names: ['haproxy'], debianPackage: 'haproxy' },
} as const

/**
 * Runs Redis, nodes and HAProxy in front of them on this machine, until Ctrl-C. It installs nothing, and leaves no
 * files.
 */
export async function cluster(options: ClusterOptions, surroundings: Surroundings): Promise<ExitCode> {
  const { out, err, env, terminated } = surroundings
  const wrong = problemsOf(options)
  for (const problem of wrong) err(`peerage: ${problem}`)
  if (wrong.length > 0) return 2
  const ignored = Object.keys(env).filter(isSetting)
  if (ignored.length > 0)
    err(`peerage: this cluster takes no settings from variables, so these are ignored: ${ignored.join(', ')}`)
  const path = env['PATH'] ?? ''
  const redis = locate(PROGRAMS.redis.names, path)
  const haproxy = locate(PROGRAMS.haproxy.names, path)
  if (redis === undefined || haproxy === undefined) {
    const missing = Object.values(PROGRAMS).filter(({ names }) => locate(names, path) === undefined)
    err(`peerage: not installed: ${missing.map(({ names }) => names.join(' or ')).join(', ')}`)
    err(
      `  Debian, Ubuntu: sudo apt-get install ${missing.map(({ debianPackage }) => debianPackage).join(' ')}`,
    )
    return 1
  }
  const running = new LocalCluster(options, surroundings, {
    redis,
    haproxy,
    setpriv: locate(['setpriv'], path),
  })
  try {
    const url = await running.start()
    out(
      `\nOpen ${url} in a browser, and the link that the page shows in another tab. HAProxy picks a node for each.`,
    )
    for (const { client, pattern } of options.wires)
      out(`Clients of ${client} connect to ws://${new URL(url).host}${pattern}`)
    out('To see a node fail, end one of them with kill -9. Ctrl-C ends everything.')
    const failure = await running.watch()
    if (failure !== undefined) err(`peerage: ${failure}`)
    return failure === undefined ? 0 : 1
  } catch (error) {
    // Ctrl-C during the start is not a failure.
    if (terminated.aborted) return 0
    err(`peerage: ${reasonOf(error)}`)
    return 1
  } finally {
    await running.end()
  }
}

/** Whether the variable is a setting. The nodes of this command must not take over those of the operator's own node. */
const isSetting = (variable: string): boolean => variable.startsWith('PEERAGE_')

function problemsOf({ nodes, port }: ClusterOptions): string[] {
  const problems: string[] = []
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > NODES_MOST)
    problems.push(`--nodes must be a whole number from 1 to ${NODES_MOST}`)
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    problems.push('--port must be a whole number from 0 to 65535')
  return problems
}

interface Programs {
  redis: string
  haproxy: string
  setpriv: string | undefined
}

class LocalCluster {
  readonly #options: ClusterOptions
  readonly #surroundings: Surroundings
  readonly #programs: Programs
  readonly #processes: ClusterProcess[] = []
  /** Resolves, with the reason, when Redis or HAProxy has ended: without them there is no cluster. */
  readonly #failure: Promise<string>
  #fail: (why: string) => void = () => {}
  #directory: string | undefined
  #ending = false

  constructor(options: ClusterOptions, surroundings: Surroundings, programs: Programs) {
    this.#options = options
    this.#surroundings = surroundings
    this.#programs = programs
    this.#failure = new Promise((resolve) => {
      this.#fail = resolve
    })
  }

  /** Starts everything. Resolves with HAProxy's URL. Rejects when it is told to end, and when a process fails. */
  async start(): Promise<string> {
    const port = await freePort(this.#options.port)
    if (!existsSync(HAPROXY_CONFIG)) throw new Error(`${HAPROXY_CONFIG} is missing: run this in a checkout`)
    this.#directory = await mkdtemp(join(tmpdir(), 'peerage-cluster-'))
    const redisPort = await freePort(0)
    await this.#startRedis(redisPort, this.#directory)
    const nodes = await Promise.all(
      Array.from({ length: this.#options.nodes }, (_, index) => this.#startNode(index + 1, redisPort)),
    )
    for (const { child, address } of nodes)
      this.#surroundings.out(`${child.name.padEnd(8)} http://${address}  pid ${child.pid}`)
    const addresses = nodes.map(({ address }) => address)
    await this.#startHaproxy(port, addresses, this.#directory)
    return `http://${HOST}:${port}/`
  }

  /** Resolves when it is told to end, or with the reason of a failure. */
  watch(): Promise<string | void> {
    return Promise.race([this.#failure, toldToEnd(this.#surroundings)])
  }

  /** HAProxy ends first, so that no new connections come. Redis ends last, because the nodes give their leases back. */
  async end(): Promise<void> {
    this.#ending = true
    const named = (prefix: string): ClusterProcess[] =>
      this.#processes.filter((child) => child.name.startsWith(prefix))
    const groups = [named('haproxy'), named('node'), named('redis')]
    await inTurn(
      [
        ...groups.map((group) => () => Promise.all(group.map((child) => child.end()))),
        () =>
          this.#directory === undefined ? undefined : rm(this.#directory, { recursive: true, force: true }),
      ],
      (error) => this.#surroundings.err(`peerage: ${reasonOf(error)}`),
    )
  }

  async #startRedis(port: number, directory: string): Promise<void> {
    const settings = { port: String(port), bind: HOST, dir: directory, save: '', appendonly: 'no' }
    const child = await this.#startProcess('redis', this.#programs.redis, flags(settings))
    await this.#orEnd(
      child,
      child.line((line) => line.includes('Ready to accept connections') || undefined),
    )
    this.#surroundings.out(`redis    redis://${HOST}:${port}`)
  }

  async #startNode(number: number, redisPort: number): Promise<{ child: ClusterProcess; address: string }> {
    const redis = `redis://${HOST}:${redisPort}`
    const settings = { host: HOST, port: '0', redis, 'links-host': HOST, 'trusted-proxies': HOST }
    const child = await this.#startProcess(`node${number}`, process.execPath, [
      BIN,
      'serve',
      ...flags(settings),
      ...this.#options.wires.map(({ flag }) => flag),
    ])
    const port = await this.#orEnd(
      child,
      child.line((line) => /"port":(\d+).*"msg":"ready"/.exec(line)?.[1]),
    )
    return { child, address: `${HOST}:${port}` }
  }

  async #startHaproxy(port: number, nodes: readonly string[], directory: string): Promise<void> {
    const env = {
      PEERAGE_BIND: `${HOST}:${port}`,
      PEERAGE_ADMIN_SOCKET: join(directory, 'haproxy.sock'),
      ...Object.fromEntries(nodes.map((node, index) => [`PEERAGE_NODE_${index + 1}`, node])),
    }
    const args = ['-db', '-f', HAPROXY_CONFIG]
    const child = await this.#startProcess('haproxy', this.#programs.haproxy, args, env)
    await this.#orEnd(child, answers(`http://${HOST}:${port}/readyz`))
    this.#surroundings.out(`haproxy  http://${HOST}:${port}`)
  }

  async #startProcess(
    name: string,
    command: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<ClusterProcess> {
    const { out, env: ours } = this.#surroundings
    const inherited = Object.entries(ours).filter(([variable]) => !isSetting(variable))
    const child = await startProcess({
      name,
      command,
      args,
      setpriv: this.#programs.setpriv,
      env: { ...Object.fromEntries(inherited), ...env },
      onLine: (line) => {
        if (this.#options.verbose) out(`${name} | ${line}`)
      },
    })
    this.#processes.push(child)
    void child.ended.then((how) => this.#hasEnded(child, how))
    return child
  }

  // The command continues when a node ends, because the cluster works without it. There is only one Redis and one HAProxy.
  #hasEnded(child: ClusterProcess, how: string): void {
    if (this.#ending) return
    if (child.name.startsWith('node'))
      this.#surroundings.err(`${child.name} (pid ${child.pid}) has ended; the others go on`)
    else this.#fail(`${child.name} ended by itself (${how}):\n${child.lastLines}`)
  }

  /** Waits until a process is ready. Rejects when it ends, when it takes too long, and when we are told to end. */
  async #orEnd<T>(child: ClusterProcess, ready: Promise<T>): Promise<T> {
    const fail = (why: string): never => {
      throw new Error(why)
    }
    const ended = child.ended.then((how) => fail(`${child.name} did not start (${how}):\n${child.lastLines}`))
    const told = toldToEnd(this.#surroundings).then(() => fail('told to end'))
    return Promise.race([ready, ended, this.#failure.then(fail), told, tooLong(child.name)])
  }
}

const flags = (settings: Readonly<Record<string, string>>): string[] =>
  Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])

const PROBE_EVERY_MS = 100

async function tooLong(name: string): Promise<never> {
  await setTimeout(READY_WITHIN_MS, undefined, { ref: false })
  throw new Error(`${name} was not ready within ${READY_WITHIN_MS} ms`)
}

/** Resolves when the URL answers 200. */
async function answers(url: string): Promise<void> {
  for (;;) {
    const ok = await fetch(url).then(
      (response) => response.ok,
      () => false,
    )
    if (ok) return
    await setTimeout(PROBE_EVERY_MS, undefined, { ref: false })
  }
}

/** A port that is free now: `wanted`, or any port where `wanted` is 0. Rejects with PortUnavailable. */
async function freePort(wanted: number): Promise<number> {
  const server = createServer()
  const { port } = await listenTcp(bounded(server), { host: HOST, port: wanted, setting: '--port' })
  await closeServer(server)
  return port
}
