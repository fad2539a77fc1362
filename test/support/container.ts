import { randomUUID } from 'node:crypto'
import { readlink } from 'node:fs/promises'
import { request } from 'node:http'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Exit, Running } from './process.js'

/** A process that is busy may see an answer this late. */
const PROBE_DEADLINE_MS = 5_000
const KEPT_LINES = 2_000
const SHOWN_LINES = 60

let probed: Promise<Answer[]> | undefined

/**
 * Whether servers run in containers: an engine answers and can run a container on this machine's network. The engine is
 * asked once per process. Containers use the host's network so that a server has the same addresses in a container and
 * outside (Redis Cluster and Sentinel announce theirs to clients). Only Linux supports this.
 *
 * PEERAGE_TEST_PARTS decides: `binary` always uses binaries; `container` rejects with an Error of one line if no engine
 * answers.
 */
export async function dockerAnswers(): Promise<boolean> {
  const parts = testParts()
  if (parts === 'binary') return false
  if (process.platform !== 'linux') {
    if (parts === 'either') return false
    throw new Error(`${CONTAINERS_ASKED}, which only Linux runs on its own network. Unset the variable.`)
  }
  probed ??= Promise.all(hosts().map((host) => askEngine(host, '/_ping')))
  const answers = await probed
  if (answers.some(({ ok }) => ok)) return true
  if (parts === 'either') return false
  const reasons = answers.map((answer, index) => `${hosts()[index]} (${answer.ok ? '' : answer.why})`)
  throw new Error(
    `${CONTAINERS_ASKED}, but no Docker engine answers: ${reasons.join(', ')}. Start one, or unset the variable.`,
  )
}

const CONTAINERS_ASKED = 'PEERAGE_TEST_PARTS=container asks for servers in containers'

/** What PEERAGE_TEST_PARTS asks for. Throws an Error of one line if it is another word. */
export function testParts(): 'binary' | 'container' | 'either' {
  const parts = process.env['PEERAGE_TEST_PARTS'] ?? ''
  if (parts === '') return 'either'
  if (parts === 'binary' || parts === 'container') return parts
  throw new Error(`PEERAGE_TEST_PARTS is "${parts}". Set it to "binary" or "container", or unset it.`)
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
  const runtime = await getContainerRuntimeClient()
  const lines: string[] = []
  const name = `peerage-test-${randomUUID()}`
  const container = runtime.container.getById(name)
  const remove = async (): Promise<void> => void (await container.remove({ force: true, v: true }))
  const giveUp = async (reason: unknown): Promise<never> => {
    await remove().catch(() => undefined) // it was not even made
    throw reason
  }
  await new GenericContainer(options.image)
    .withName(name)
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
    .catch(giveUp)
  const { State } = await container.inspect()
  if (!State.Running) await giveUp(new Error(`the container ended at once: ${lines.join('\n')}`))
  if (!(await sharesOurNetwork(State.Pid))) await giveUp(new Error(ANOTHER_NETWORK))

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
    if (ended) return
    await container.kill({ signal }).catch((error: { statusCode?: number }) => {
      if (error.statusCode !== HAS_ENDED) throw error
    })
  }
  let removed: Promise<void> | undefined
  return {
    pid: State.Pid,
    stopped,
    output: () => lines.slice(-SHOWN_LINES).join('\n'),
    kill,
    pause: () => kill('SIGSTOP'),
    resume: () => kill('SIGCONT'),
    stop: async () => {
      removed ??= remove()
      await removed
      await stopped
    },
  }
}

/** The engine's answer to a signal for a container that has ended. */
const HAS_ENDED = 409
const ANOTHER_NETWORK =
  "the engine's network is not this process's: it runs without root, or on another machine, or this process is in a container"

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
  return (await askEngine(host, '/_ping')).ok
}

/** What an engine answered, or why it did not, in a few words. */
export type Answer = { ok: true; body: string } | { ok: false; why: string }

/** The engine's answer to a GET request of its API, such as `/info`. */
export async function askEngine(host: string, path: string): Promise<Answer> {
  const endpoint = endpointOf(host)
  if (endpoint === undefined) return { ok: false, why: 'not unix:///path or tcp://host:port' }
  return new Promise((resolve) => {
    const fail = (error: NodeJS.ErrnoException): void => resolve({ ok: false, why: reasonOf(error) })
    const asked = request({ ...endpoint, path, timeout: PROBE_DEADLINE_MS }, (response) => {
      const status = response.statusCode ?? 0
      text(response).then((body) => {
        resolve(status === 200 ? { ok: true, body } : { ok: false, why: `it answers with HTTP ${status}` })
      }, fail) // the engine ended meanwhile
    })
    asked.once('error', fail)
    asked.once('timeout', () => asked.destroy(new Error(`no answer within ${PROBE_DEADLINE_MS} ms`)))
    asked.end()
  })
}

function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return 'nothing listens there'
    case 'EACCES':
      return 'this account may not use it: add it to the group docker'
    default:
      return message
  }
}

function endpointOf(host: string): { socketPath: string } | { host: string; port: number } | undefined {
  if (!URL.canParse(host)) return undefined
  const { protocol, hostname, port, pathname } = new URL(host)
  if (protocol === 'unix:') return { socketPath: pathname }
  if (protocol === 'tcp:' || protocol === 'http:') return { host: hostname, port: Number(port) }
  return undefined
}
