import { readFile } from 'node:fs/promises'
import { eventually } from '@peerage/test-support/process.js'
import type { Engine } from './engine.js'

/** A container that a test started. */
export interface Container {
  readonly name: string
  /**
   * The id of its first process on this machine, for `nsenter -t PID -n`. Rejects if it does not run, or runs on another
   * machine, where this number means another process.
   */
  pid(): Promise<number>
  /** Its newest lines, standard output and standard error. */
  logs(): Promise<string>
  /** Waits until the engine's own health check says `healthy`. Rejects at the deadline, or if the container ends. */
  healthy(deadlineMs: number): Promise<void>
  /** Runs a program inside, and resolves with its output. */
  exec(...command: readonly string[]): Promise<string>
  /** Sends the image's stop signal, SIGKILL after the grace, and resolves with the exit code and how long it took. */
  end(graceSeconds: number): Promise<{ code: number; ms: number }>
  /** Sends SIGKILL, and waits for the end. */
  kill(): Promise<void>
  /** Freezes all processes inside, as `docker pause`, and lets them go on. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Kills it if it runs, and removes it with its volumes. */
  remove(): Promise<void>
}

/** Each look starts a docker client. */
const POLL_MS = 250

interface State {
  Running: boolean
  Pid: number
  ExitCode: number
  Health?: { Status: string; Log: { Output: string }[] }
}

/**
 * Runs `docker run --detach` with these arguments: flags, image, command.
 *
 * @example const node = await startContainer(engine, 'image-node', ['--env', 'PEERAGE_OPEN=true', IMAGE])
 */
export async function startContainer(
  engine: Engine,
  name: string,
  args: readonly string[],
): Promise<Container> {
  try {
    await engine.docker(['run', '--detach', '--name', name, ...args])
  } catch (error) {
    // A container whose start failed exists all the same.
    await engine.docker(['rm', '--force', '--volumes', name]).catch(() => undefined)
    throw error
  }
  const state = async (): Promise<State> =>
    JSON.parse(await engine.docker(['inspect', '--format', '{{json .State}}', name])) as State
  const logs = (): Promise<string> => engine.output(['logs', '--tail', '200', name])
  return {
    name,
    pid: async () => {
      const { Running, Pid } = await state()
      if (!Running) throw new Error(`the container ${name} does not run`)
      const id = await engine.docker(['inspect', '--format', '{{.Id}}', name])
      const groups = await readFile(`/proc/${Pid}/cgroup`, 'utf8').catch(() => '')
      if (!groups.includes(id)) throw new Error(`the container ${name} runs on another machine`)
      return Pid
    },
    logs,
    healthy: async (deadlineMs) => {
      const end = await eventually(
        `the container ${name} is healthy`,
        async () => {
          const { Running, ExitCode, Health } = await state()
          if (!Running) return `the container ${name} ended with exit code ${ExitCode}`
          if (Health?.Status === 'healthy') return 'healthy'
          throw new Error(`it is ${Health?.Status ?? 'without a check'} ${Health?.Log.at(-1)?.Output ?? ''}`)
        },
        { deadlineMs, everyMs: POLL_MS },
      )
      if (end !== 'healthy') throw new Error(`${end}: ${await logs()}`)
    },
    exec: (...command) => engine.docker(['exec', name, ...command]),
    end: async (graceSeconds) => {
      const startedAt = performance.now()
      await engine.docker(['stop', '--time', String(graceSeconds), name])
      return { code: (await state()).ExitCode, ms: performance.now() - startedAt }
    },
    kill: () => engine.docker(['kill', name]).then(() => undefined),
    pause: () => engine.docker(['pause', name]).then(() => undefined),
    resume: () => engine.docker(['unpause', name]).then(() => undefined),
    remove: () => engine.docker(['rm', '--force', '--volumes', name]).then(() => undefined),
  }
}
