import { execFile, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findTool, locate, type Tool } from '@peerage/test-support/binary.js'
import { eventually, startChild, type Child } from '@peerage/test-support/process.js'
import { keepFirewall } from './firewall.js'

/** A Docker engine and the client that talks to it. */
export interface Engine {
  /** The value of DOCKER_HOST, such as `unix:///var/run/docker.sock`. */
  readonly host: string
  /**
   * Runs the docker client to its end, and resolves with its standard output. Rejects with an Error that contains the
   * command and its standard error.
   *
   * @example await engine.docker(['run', '--rm', 'peerage:0.1.0', '--version'])
   */
  docker(args: readonly string[], options?: DockerOptions): Promise<string>
  /** As `docker`, and resolves with both outputs: first all of the standard output, then all of the standard error. */
  output(args: readonly string[], options?: DockerOptions): Promise<string>
}

export interface DockerOptions {
  /** Milliseconds until the client is ended; by default two minutes. */
  deadlineMs?: number
  cwd?: string
  /** Added to the client's environment. */
  env?: Readonly<Record<string, string>>
}

/** An engine that this process ends, if it started it. */
interface OwnedEngine extends Engine {
  /** The path of the docker client. */
  readonly client: string
  stop(): Promise<void>
}

const DOCKERD: Tool = {
  name: 'Docker engine',
  binaries: ['dockerd'],
  debianPackage: 'docker.io iptables',
}
const CLIENT: Tool = {
  name: 'docker client',
  binaries: ['docker'],
  debianPackage: 'docker.io',
  having: { what: 'BuildKit', check: buildsWithBuildKit },
}

/** Kept between runs, so that layers that did not change are not built again. */
const HOME = join(tmpdir(), 'peerage-containers')
const OWNER = join(HOME, 'owner')
const MACHINE_SOCKET = 'unix:///var/run/docker.sock'
const PROBE_DEADLINE_MS = 5_000
const START_DEADLINE_MS = 60_000
const COMMAND_DEADLINE_MS = 120_000
const STOP_DEADLINE_MS = 20_000
const MAX_OUTPUT_BYTES = 1 << 28
/** The engine's own bridge: a private range that its default choice and our compose file do not use. */
const BRIDGE = '10.89.40.1/24'

const execute = promisify(execFile)

/** Why no engine can run on this machine, as the end of a sentence; undefined if one runs or can be started. */
export async function whyNoEngine(): Promise<string | undefined> {
  if ((await machineEngine()) !== undefined) return undefined
  const configured = process.env['DOCKER_HOST']
  if (configured !== undefined && configured !== '')
    return `DOCKER_HOST is ${configured}, and no engine answers there; start it, or unset DOCKER_HOST`
  if (process.platform !== 'linux')
    return 'no Docker engine answers, and only on Linux can the tests start one; start Docker'
  if (process.getuid?.() !== 0)
    return 'no Docker engine answers, and only root can start one; start Docker, or run this as root'
  if (locate('dockerd') === undefined && locate('apt-get') === undefined)
    return 'no Docker engine answers, and this machine has no dockerd and no apt-get to install it; start Docker'
  return undefined
}

/**
 * Connects to the engine of this machine (DOCKER_HOST, or /var/run/docker.sock). If none answers, starts Debian's Docker
 * engine as root, with files and a socket of its own. Rejects with an Error of one line if neither is possible.
 */
export async function startEngine(): Promise<OwnedEngine> {
  const reason = await whyNoEngine()
  if (reason !== undefined) throw new Error(`The container tests cannot run: ${reason}.`)
  const host = await machineEngine()
  if (host !== undefined) {
    return { ...clientOf(host, await findClient()), stop: () => Promise.resolve() }
  }
  return startDockerd()
}

/** In test files: the engine that prepare.ts started or found for this run. */
export function theEngine(): Engine {
  const host = process.env['DOCKER_HOST']
  const client = process.env['PEERAGE_TEST_DOCKER']
  if (host === undefined || client === undefined)
    throw new Error('This file runs with `npx vitest run --project containers`, which starts an engine.')
  return clientOf(host, client)
}

/** What a run's test processes inherit, for `theEngine`. */
export function announceEngine({ host, client }: OwnedEngine): void {
  process.env['DOCKER_HOST'] = host
  process.env['PEERAGE_TEST_DOCKER'] = client
}

function clientOf(host: string, client: string): Omit<OwnedEngine, 'stop'> {
  const ask = async (
    args: readonly string[],
    { deadlineMs = COMMAND_DEADLINE_MS, cwd, env = {} }: DockerOptions = {},
  ): Promise<{ stdout: string; stderr: string }> => {
    try {
      return await execute(client, [...args], {
        timeout: deadlineMs,
        maxBuffer: MAX_OUTPUT_BYTES,
        env: { ...process.env, DOCKER_HOST: host, DOCKER_BUILDKIT: '1', ...env },
        ...(cwd === undefined ? {} : { cwd }),
      })
    } catch (error) {
      const { stderr = '', killed = false } = error as { stderr?: string; killed?: boolean }
      const why = killed ? `no end after ${deadlineMs} ms` : stderr.trim()
      throw new Error(`docker ${args.join(' ')}: ${why}`, { cause: error })
    }
  }
  return {
    host,
    client,
    docker: async (args, options) => (await ask(args, options)).stdout.trimEnd(),
    output: async (args, options) => {
      const { stdout, stderr } = await ask(args, options)
      return `${stdout}${stderr}`.trimEnd()
    },
  }
}

async function findClient(): Promise<string> {
  return (await findTool(CLIENT)).path
}

/** Clients before 23 contain what BuildKit needs; later ones have a plugin for it, which may be missing. */
function buildsWithBuildKit(path: string): boolean {
  const version = /version (\d+)/.exec(spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout)?.[1]
  return Number(version) < 23 || spawnSync(path, ['buildx', 'version']).status === 0
}

/** The DOCKER_HOST at which an engine of this machine answers. */
async function machineEngine(): Promise<string | undefined> {
  const configured = process.env['DOCKER_HOST']
  const host = configured === undefined || configured === '' ? MACHINE_SOCKET : configured
  return (await answers(host)) ? host : undefined
}

function answers(host: string): Promise<boolean> {
  const at = host.startsWith('unix://') ? { socketPath: host.slice('unix://'.length) } : urlOf(host)
  if (at === undefined) return Promise.resolve(false)
  return new Promise((resolve) => {
    const asked = request({ ...at, path: '/_ping', timeout: PROBE_DEADLINE_MS }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    asked.once('error', () => resolve(false))
    asked.once('timeout', () => asked.destroy(new Error('no answer')))
    asked.end()
  })
}

function urlOf(host: string): { host: string; port: string } | undefined {
  if (!URL.canParse(host)) return undefined
  const { hostname, port } = new URL(host)
  return { host: hostname, port }
}

async function startDockerd(): Promise<OwnedEngine> {
  const { path: dockerd } = await findTool(DOCKERD)
  await mkdir(HOME, { recursive: true, mode: 0o700 })
  await own()
  const restoreFirewall = await keepFirewall()
  const socket = join(HOME, 'docker.sock')
  const host = `unix://${socket}`
  await Promise.all([rm(socket, { force: true }), rm(join(HOME, 'docker.pid'), { force: true })])
  const files = await openFiles()
  const child = await startChild({
    command: dockerd,
    args: Object.entries({
      '--host': host,
      '--bip': BRIDGE,
      '--default-ulimit': `nofile=${files}:${files}`,
      '--data-root': join(HOME, 'data'),
      '--exec-root': join(HOME, 'run'),
      '--pidfile': join(HOME, 'docker.pid'),
    }).flat(),
    env: { PATH: `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin` },
  })
  const stop = async (): Promise<void> => {
    await end(child)
    await restoreFirewall()
    await rm(OWNER, { force: true })
  }
  try {
    await eventually('the Docker engine answers', async () => ((await answers(host)) ? true : undefined), {
      deadlineMs: START_DEADLINE_MS,
      running: child,
    })
  } catch (error) {
    await stop()
    throw error
  }
  return { ...clientOf(host, await findClient()), stop }
}

/** One run at a time: two engines cannot share the files of HOME. */
async function own(): Promise<void> {
  const owner = existsSync(OWNER) ? Number(readFileSync(OWNER, 'utf8')) : undefined
  if (owner !== undefined && owner !== process.pid && existsSync(`/proc/${owner}`))
    throw new Error(`Process ${owner} runs the container tests already; wait for its end.`)
  await writeFile(OWNER, String(process.pid))
}

/** The largest number of open files that a container may have here. */
async function openFiles(): Promise<number> {
  const { stdout } = await execute('sh', ['-c', 'ulimit -Hn'])
  const limit = Number(stdout.trim())
  return Number.isInteger(limit) ? limit : 1 << 20
}

/** SIGTERM first, so that containerd ends with it. */
async function end(child: Child): Promise<void> {
  await child.kill('SIGTERM')
  const deadline = new Promise((resolve) => setTimeout(resolve, STOP_DEADLINE_MS).unref())
  await Promise.race([child.stopped, deadline])
  await child.stop()
}
