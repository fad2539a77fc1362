import { execFile, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rm, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
// Not from @peerage/test-support: prepare.ts would get the compiled files, which may be old.
import { findTool, locate, type Tool } from '../support/binary.js'
import { answersAt, askEngine, engineHost } from '../support/container.js'
import { eventually, startChild, type Child } from '../support/process.js'
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
export interface OwnedEngine extends Engine {
  /** The path of the docker client. */
  readonly client: string
  /** This process started it, and nobody else uses its images. */
  readonly isOurs: boolean
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
/** The stand-ins and our image take 2 GB; the builds need some more for a moment. */
const NEEDED_BYTES = 4e9
/** CAP_NET_ADMIN and CAP_SYS_ADMIN. */
const NEEDED_CAPABILITIES = (1n << 12n) | (1n << 21n)
/** Of the layers that builds keep. */
const KEPT_CACHE = '2GB'
const START_DEADLINE_MS = 60_000
const COMMAND_DEADLINE_MS = 120_000
const STOP_DEADLINE_MS = 20_000
const MAX_OUTPUT_BYTES = 1 << 28
/** The engine's own bridge: a private range that its default choice and our compose file do not use. */
const BRIDGE = '10.89.40.1/24'

const execute = promisify(execFile)

/** What decides whether an engine can be started here; tests give others. */
export interface Machine {
  platform: string
  uid: number | undefined
  /** Where the engine keeps its files. */
  home: string
  /** The effective capabilities of this process, as a bit set; see capabilities(7). */
  capabilities: bigint
  has(program: string): boolean
}

/**
 * Why the container tests cannot run on this machine, as the end of a sentence of one line; undefined if an engine runs or
 * can be started.
 */
export async function whyNoEngine(machine = thisMachine()): Promise<string | undefined> {
  if (machine.platform !== 'linux')
    return 'only on Linux do containers have a network that this machine shares'
  if (machine.uid !== 0)
    return 'they lose packets in the networks of containers, which only root may; run this as root'
  const configured = process.env['DOCKER_HOST']
  if (configured !== undefined && configured !== '') return whyNotAt(configured)
  const host = await engineHost()
  if (host !== undefined) return whyNot(host)
  const none = 'no Docker engine answers'
  if ((machine.capabilities & NEEDED_CAPABILITIES) !== NEEDED_CAPABILITIES)
    return `${none}, and this root may not start one, because it may neither mount file systems nor make networks (as in a container without --privileged)`
  if (!machine.has('dockerd') && !machine.has('apt-get'))
    return `${none}, and this machine has no dockerd and no apt-get to install it; start Docker`
  const free = await freeBytes(machine.home)
  if (free < NEEDED_BYTES)
    return `an engine needs ${NEEDED_BYTES / 1e9} GB in ${machine.home}, where ${(free / 1e9).toFixed(1)} GB are free; make room there, or set TMPDIR to another disk`
  return undefined
}

async function whyNotAt(configured: string): Promise<string | undefined> {
  const answer = await askEngine(configured, '/_ping')
  if (answer.ok) return whyNot(configured)
  return `DOCKER_HOST is ${configured}, and no engine answers there (${answer.why}); start it, or unset DOCKER_HOST`
}

/** An engine without root gives its containers addresses that this machine does not reach. */
async function whyNot(host: string): Promise<string | undefined> {
  const info = await askEngine(host, '/info')
  return info.ok && info.body.includes('name=rootless')
    ? `the engine at ${host} runs without root, so its containers cannot be reached by their addresses; set DOCKER_HOST to an engine that root runs`
    : undefined
}

function thisMachine(): Machine {
  const status = process.platform === 'linux' ? readFileSync('/proc/self/status', 'utf8') : ''
  return {
    platform: process.platform,
    uid: process.getuid?.(),
    home: HOME,
    capabilities: BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(status)?.[1] ?? '0'}`),
    has: (program) => locate(program) !== undefined,
  }
}

/** Of the file system that holds this folder, or will hold it. */
async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(existsSync(folder) ? folder : dirname(folder))
  return bavail * bsize
}

/**
 * Connects to the engine of this machine (DOCKER_HOST, or /var/run/docker.sock). If none answers, starts Debian's Docker
 * engine as root, with files and a socket of its own. Rejects with an Error of one line if neither is possible.
 */
export async function startEngine(): Promise<OwnedEngine> {
  const reason = await whyNoEngine()
  if (reason !== undefined) throw new Error(`The container tests cannot run: ${reason}.`)
  const host = await engineHost()
  if (host !== undefined) {
    return { ...clientOf(host, await findClient()), isOurs: false, stop: () => Promise.resolve() }
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

function clientOf(host: string, client: string): Omit<OwnedEngine, 'stop' | 'isOurs'> {
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
      const why = killed ? `no end after ${deadlineMs} ms` : plain(stderr)
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

/** What the client said, with what to do where it does not say it. */
export function plain(stderr: string): string {
  if (/no space left on device/i.test(stderr))
    return 'the disk of the Docker engine is full; make room there (docker system df shows what takes it)'
  const port = /bind for (\S+):(\d+) failed|listen (?:tcp|udp)4? (\S+):(\d+): bind/i.exec(stderr)
  if (port !== null)
    return `port ${port[2] ?? port[4]} of ${port[1] ?? port[3]} is taken; end the program that listens there (ss -lptn shows it)`
  return stderr.trim()
}

async function findClient(): Promise<string> {
  return (await findTool(CLIENT)).path
}

/** Clients before 23 contain what BuildKit needs; later ones have a plugin for it, which may be missing. */
function buildsWithBuildKit(path: string): boolean {
  const version = /version (\d+)/.exec(spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout)?.[1]
  return Number(version) < 23 || spawnSync(path, ['buildx', 'version']).status === 0
}

async function startDockerd(): Promise<OwnedEngine> {
  const { path: dockerd } = await findTool(DOCKERD)
  await mkdir(HOME, { recursive: true, mode: 0o700 })
  await own()
  const restoreFirewall = await keepFirewall(join(HOME, 'firewall.json'))
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
    await eventually('the Docker engine answers', async () => ((await answersAt(host)) ? true : undefined), {
      deadlineMs: START_DEADLINE_MS,
      running: child,
    })
    const engine = clientOf(host, await findClient())
    await tidy(engine)
    return { ...engine, isOurs: true, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Removes what a run left that was killed, and layers that no image has any more. */
async function tidy(engine: Engine): Promise<void> {
  const left = (await engine.docker(['ps', '--all', '--quiet'])).split('\n').filter(Boolean)
  if (left.length > 0) await engine.docker(['rm', '--force', '--volumes', ...left])
  for (const kind of ['network', 'volume', 'image']) await engine.docker([kind, 'prune', '--force'])
  await engine.docker(['builder', 'prune', '--force', '--keep-storage', KEPT_CACHE])
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
