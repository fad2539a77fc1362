import { z } from 'zod'
import { eventually } from '@peerage/test-support/process.js'
import { theEngine } from './engine.js'
import { IMAGE } from './image-build.js'

// Containers of our image, with names that begin with `image-`.

/** How k8s/ and docker-compose.yml restrict a node. A node has about ten threads. */
export const RESTRICTED = [
  '--read-only',
  '--cap-drop=ALL',
  '--security-opt=no-new-privileges:true',
  '--user=65532:65532',
  '--memory=1g',
  '--pids-limit=64',
] as const

const HEALTH_DEADLINE_MS = 60_000
const failure = z.object({ code: z.number(), stdout: z.string(), stderr: z.string() })

/** How a container ended, with what it wrote. */
export interface Ended {
  code: number
  /** The lines of its standard output. */
  out: string[]
  /** The lines of its standard error. Unknown, and so empty, if the code is 0. */
  err: string[]
}

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '')

/** Runs a command of the docker client. If that fails, returns its exit code and what it wrote. */
export async function ended(args: readonly string[]): Promise<Ended> {
  try {
    return { code: 0, out: linesOf(await theEngine().docker(args)), err: [] }
  } catch (error) {
    const { code, stdout, stderr } = failure.parse(error instanceof Error ? error.cause : error)
    return { code, out: linesOf(stdout), err: linesOf(stderr) }
  }
}

/** Runs our image to its end, restricted. `options` are of `docker run`, `command` is for our program. */
export const runImage = (options: readonly string[], command: readonly string[]): Promise<Ended> =>
  ended(['run', '--rm', ...RESTRICTED, ...options, IMAGE, ...command])

/** A container of our image that runs. */
export interface Container {
  readonly name: string
  /** `host:port` at which this machine reaches a TCP port of the container, if that was published. */
  address(port: number): Promise<string>
  /** Runs a command in the container, as `kubectl exec` does. */
  exec(...command: string[]): Promise<Ended>
  /** A value of `docker inspect`, by a template. */
  inspect(template: string): Promise<string>
  /** Resolves when its log has this text. */
  logs(text: string): Promise<string>
  /** Resolves when the engine says that it is `healthy` or `unhealthy`. */
  becomes(health: 'healthy' | 'unhealthy'): Promise<void>
  signal(name: string): Promise<void>
  /** Sends the image's stop signal, as `docker stop` does. Resolves with its exit code, and after how many milliseconds. */
  stop(graceSeconds?: number): Promise<{ code: number; afterMs: number }>
  /** Resolves with its exit code when it has ended. */
  end(): Promise<number>
  remove(): Promise<void>
}

/** Starts a container of our image. `options` are of `docker run`. */
export async function startImage(
  name: string,
  options: readonly string[],
  command: readonly string[] = [],
): Promise<Container> {
  const engine = theEngine()
  await engine.docker(['run', '--detach', '--name', name, ...options, IMAGE, ...command])
  const inspect = (template: string): Promise<string> =>
    engine.docker(['inspect', '--format', template, name])
  return {
    name,
    inspect,
    address: (port) => engine.docker(['port', name, `${port}/tcp`]),
    exec: (...command) => ended(['exec', name, ...command]),
    logs: (text) =>
      eventually(
        `${name} logs ${text}`,
        async () => {
          const log = await engine.docker(['logs', name])
          return log.includes(text) ? log : undefined
        },
        { deadlineMs: HEALTH_DEADLINE_MS, everyMs: 100 },
      ),
    becomes: async (health) => {
      const state = async (): Promise<true | undefined> =>
        (await inspect('{{.State.Health.Status}}')) === health ? true : undefined
      await eventually(`${name} is ${health}`, state, { deadlineMs: HEALTH_DEADLINE_MS, everyMs: 250 })
    },
    signal: async (signal) => void (await engine.docker(['kill', '--signal', signal, name])),
    stop: async (graceSeconds = 30) => {
      const startedAt = performance.now()
      await engine.docker(['stop', '--time', String(graceSeconds), name])
      return { code: Number(await inspect('{{.State.ExitCode}}')), afterMs: performance.now() - startedAt }
    },
    end: async () => Number(await engine.docker(['wait', name])),
    remove: async () => void (await engine.docker(['rm', '--force', '--volumes', name])),
  }
}

/** The names of the containers that are left of these tests. */
export async function leftContainers(): Promise<string[]> {
  return linesOf(
    await theEngine().docker(['ps', '--all', '--format', '{{.Names}}', '--filter', 'name=^image-']),
  )
}
