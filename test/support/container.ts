import { readlink } from 'node:fs/promises'
import { request } from 'node:http'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Exit, Running } from './process.js'

// The engine is on this machine. If it needs longer than this to answer "OK", it is too slow for tests.
const PROBE_DEADLINE_MS = 1_500
const KEPT_LINES = 2_000
const SHOWN_LINES = 60

let probed: Promise<string | undefined> | undefined

/**
 * Whether servers run in containers: an engine answers and can run a container on this machine's network. The engine is
 * asked once per process. Containers use the host's network so that a server has the same addresses in a container and
 * outside (Redis Cluster and Sentinel announce theirs to clients). Only Linux supports this.
 *
 * PEERAGE_TEST_PARTS decides: `binary` always uses binaries; `container` rejects with an Error if no engine answers.
 */
export async function dockerAnswers(): Promise<boolean> {
  const parts = process.env['PEERAGE_TEST_PARTS']
  if (process.platform !== 'linux' || parts === 'binary') return false
  probed ??= engineHost()
  const host = await probed
  if (host === undefined && parts === 'container')
    throw new Error(
      'PEERAGE_TEST_PARTS=container asks for servers in containers, but no Docker engine answers at ' +
        `${hosts().join(' or ')}. Start one, or unset the variable.`,
    )
  return host !== undefined
}

/** The first DOCKER_HOST of this machine at which a Docker engine answers: the configured one alone, or the usual ones. */
export async function engineHost(): Promise<string | undefined> {
  const answers = await Promise.all(hosts().map(async (host) => ((await answersAt(host)) ? host : undefined)))
  return answers.find((host) => host !== undefined)
}

export interface ContainerOptions {
  image: string
  /** The program inside the image. It replaces the image's own entry point, which may switch to another account. */
  program: string
  args: readonly string[]
  /** A directory that is mounted at the same path inside, so that file arguments stay valid. */
  mount: string
  workingDirectory: string
  env: Record<string, string>
}

/** Starts a container on the host's network, as this process's account. Rejects if the image is not available. */
export async function startContainer(options: ContainerOptions): Promise<Running> {
  const { GenericContainer, getContainerRuntimeClient } = await import('testcontainers')
  const lines: string[] = []
  const started = await new GenericContainer(options.image)
    .withNetworkMode('host')
    .withUser(`${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`)
    .withEntrypoint([options.program])
    .withCommand([...options.args])
    .withEnvironment(options.env)
    .withBindMounts([{ source: options.mount, target: options.mount, mode: 'rw' }])
    .withWorkingDir(options.workingDirectory)
    .withAutoRemove(false)
    .withLogConsumer((stream) => {
      stream.on('data', (chunk: unknown) => {
        lines.push(String(chunk).trimEnd())
        if (lines.length > KEPT_LINES) lines.shift()
      })
    })
    .start()
  const runtime = await getContainerRuntimeClient()
  const container = runtime.container.getById(started.getId())
  const { State } = await container.inspect()
  if (!State.Running) {
    await container.remove({ force: true, v: true })
    throw new Error(`the container ended at once: ${lines.join('\n')}`)
  }
  if (!(await sharesOurNetwork(State.Pid))) {
    await container.remove({ force: true, v: true })
    throw new Error(
      'the engine runs in another network than this process, as if this process runs in a container itself',
    )
  }

  let ended = false
  const stopped: Promise<Exit> = container.wait().then(
    (result: { StatusCode: number }) => {
      ended = true
      return { code: result.StatusCode, signal: null }
    },
    () => {
      ended = true // the engine no longer has this container
      return { code: null, signal: null }
    },
  )
  const kill = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    if (!ended) await container.kill({ signal })
  }
  return {
    pid: State.Pid,
    stopped,
    output: () => lines.slice(-SHOWN_LINES).join('\n'),
    kill,
    pause: () => kill('SIGSTOP'),
    resume: () => kill('SIGCONT'),
    stop: async () => {
      await container.remove({ force: true, v: true })
      await stopped
    },
  }
}

/** If this process itself runs in a container, the engine's host network is not the network of our 127.0.0.1. */
async function sharesOurNetwork(pid: number): Promise<boolean> {
  try {
    return (await readlink(`/proc/${pid}/ns/net`)) === (await readlink('/proc/self/ns/net'))
  } catch {
    return false // no such process here: the engine runs on another machine
  }
}

function hosts(): string[] {
  const configured = process.env['DOCKER_HOST']
  if (configured !== undefined && configured !== '') return [configured]
  const runtimeDirectory = process.env['XDG_RUNTIME_DIR']
  const rootless = runtimeDirectory === undefined ? [] : [join(runtimeDirectory, 'docker.sock')]
  const paths = ['/var/run/docker.sock', ...rootless, join(homedir(), '.docker', 'run', 'docker.sock')]
  return paths.map((path) => `unix://${path}`)
}

/** Whether an engine answers at a DOCKER_HOST: `unix:///path` or `tcp://host:port`. Not asked: ssh, and what is no URL. */
export async function answersAt(host: string): Promise<boolean> {
  return (await askEngine(host, '/_ping')) !== undefined
}

/** The engine's answer to a GET request of its API, such as `/info`; undefined if there is none. */
export async function askEngine(host: string, path: string): Promise<string | undefined> {
  const endpoint = endpointOf(host)
  if (endpoint === undefined) return undefined
  return new Promise((resolve) => {
    const asked = request({ ...endpoint, path, timeout: PROBE_DEADLINE_MS }, (response) => {
      text(response).then(
        (body) => resolve(response.statusCode === 200 ? body : undefined),
        () => resolve(undefined), // the engine ended meanwhile
      )
    })
    asked.once('error', () => resolve(undefined))
    asked.once('timeout', () => asked.destroy(new Error('no answer')))
    asked.end()
  })
}

function endpointOf(host: string): { socketPath: string } | { host: string; port: number } | undefined {
  if (!URL.canParse(host)) return undefined
  const { protocol, hostname, port, pathname } = new URL(host)
  if (protocol === 'unix:') return { socketPath: pathname }
  if (protocol === 'tcp:' || protocol === 'http:') return { host: hostname, port: Number(port) }
  return undefined
}
