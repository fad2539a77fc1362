import { readlink } from 'node:fs/promises'
import { request } from 'node:http'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Exit, Running } from './process.js'

// The engine is on this machine; one that needs longer to say "OK" is not usable for tests.
const PROBE_DEADLINE_MS = 1_500
const KEPT_LINES = 2_000
const SHOWN_LINES = 60

let probed: Promise<boolean> | undefined

/**
 * Whether a Docker engine answers that can give a container this machine's network.
 * Asked once a process. Containers run on the host's network, so that a part has the same addresses
 * either way (Redis Cluster and Sentinel tell theirs to clients); only Linux can do that.
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
  /** The program inside the image; it replaces the image's own entry point, which may change account. */
  program: string
  args: readonly string[]
  /** A directory that is mounted at the same path inside, so that file arguments mean the same. */
  mount: string
  workingDirectory: string
  env: Record<string, string>
}

/** Starts a container on the host's network, as this process's account. Rejects when the image cannot be had. */
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
    throw new Error(`it ended at once: ${lines.join('\n')}`)
  }
  if (!(await sharesOurNetwork(State.Pid))) {
    await container.remove({ force: true, v: true })
    throw new Error(
      'the engine runs in another network than this process, as when it is reached from a container',
    )
  }

  let ended = false
  const stopped: Promise<Exit> = container.wait().then(
    (result: { StatusCode: number }) => {
      ended = true
      return { code: result.StatusCode, signal: null }
    },
    () => {
      ended = true // the engine no longer knows it
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

/** Where we run in a container ourselves, the engine's host network is not the one that our 127.0.0.1 is in. */
async function sharesOurNetwork(pid: number): Promise<boolean> {
  try {
    return (await readlink(`/proc/${pid}/ns/net`)) === (await readlink('/proc/self/ns/net'))
  } catch {
    return false // no such process here: the engine is elsewhere
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
