import { readlink } from 'node:fs/promises'
import { request } from 'node:http'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Exit, Running } from './process.js'

// The engine is on this machine. If it needs longer than this to answer "OK", it is too slow for tests.
const PROBE_DEADLINE_MS = 1_500
const KEPT_LINES = 2_000
const SHOWN_LINES = 60

let probed: Promise<boolean> | undefined

/**
 * Whether a Docker engine answers and can run a container on this machine's network. The engine is asked once per process.
 * Containers use the host's network so that a server has the same addresses in a container and outside (Redis Cluster and
 * Sentinel announce theirs to clients). Only Linux supports this.
 */
export function dockerAnswers(): Promise<boolean> {
  if (process.platform !== 'linux') return Promise.resolve(false)
  if (process.env['PEERAGE_TEST_PARTS'] === 'binary') return Promise.resolve(false)
  probed ??= Promise.all(endpoints().map((endpoint) => ping(endpoint))).then((answers) =>
    answers.includes(true),
  )
  return probed
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

type Endpoint = { socketPath: string } | { host: string; port: number }

function endpoints(): Endpoint[] {
  const configured = process.env['DOCKER_HOST']
  if (configured !== undefined && configured !== '') {
    const url = new URL(configured)
    if (url.protocol === 'unix:') return [{ socketPath: url.pathname }]
    return [{ host: url.hostname, port: Number(url.port) }]
  }
  const runtimeDirectory = process.env['XDG_RUNTIME_DIR']
  const rootless = runtimeDirectory === undefined ? [] : [join(runtimeDirectory, 'docker.sock')]
  const paths = ['/var/run/docker.sock', ...rootless, join(homedir(), '.docker', 'run', 'docker.sock')]
  return paths.map((socketPath) => ({ socketPath }))
}

function ping(endpoint: Endpoint): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ ...endpoint, path: '/_ping', timeout: PROBE_DEADLINE_MS }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    asked.once('error', () => resolve(false))
    asked.once('timeout', () => asked.destroy(new Error('no answer')))
    asked.end()
  })
}
