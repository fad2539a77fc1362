import { existsSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { announce, findBinary, type Program } from './binary.js'
import { dockerAnswers, startContainer, testParts } from './container.js'
import { eventually, startChild, type ChildOptions, type Running } from './process.js'

/** A server program and the image that contains it. */
export interface ServerProgram extends Program {
  /** Its public image, without tag. */
  image: string
  tag: string
}

export interface ServerOptions {
  args: readonly string[]
  directory: string
  /** The start of the version that must run, such as `7.2`; any version if absent. */
  version?: string
  /** Extra environment for the program. */
  env?: Record<string, string>
  /** Starts the program elsewhere, such as in a network namespace, always from a binary. */
  inside?: { start(options: ChildOptions): Promise<Running> }
  /** A description of the ready server for messages, and a probe that shows it. */
  ready: { what: string; probe: () => Promise<unknown>; deadlineMs: number }
}

/** The common part of all fixtures that are one process. */
export interface Fixture extends Pick<Running, 'pid' | 'stopped' | 'output' | 'pause' | 'resume'> {
  /** Sends SIGKILL and waits until the process is gone. */
  kill(): Promise<void>
  /** As `kill`, and removes its directory. */
  stop(): Promise<void>
}

export function fixtureOf(running: Running, directory: string): Fixture {
  return {
    pid: running.pid,
    stopped: running.stopped,
    output: () => running.output(),
    pause: () => running.pause(),
    resume: () => running.resume(),
    kill: () => running.stop(),
    stop: async () => {
      await running.stop()
      await removeDirectory(directory)
    },
  }
}

interface Root {
  path: string
  removeAtExit: () => void
}

let root: Promise<Root> | undefined
let open = 0
// Images that were not available. They are not requested again, because a failing pull takes long.
const imagesMissing = new Set<string>()

/**
 * Starts a server and waits until it is ready. It runs in a container if a Docker engine answers, else from the system's
 * binary, else from one that apt-get installs. Standard error says which. Throws an Error that names what is missing.
 */
export async function startServer(program: ServerProgram, options: ServerOptions): Promise<Running> {
  let running: Running | undefined
  try {
    running = await launch(program, options)
    const { what, probe, deadlineMs } = options.ready
    await eventually(what, async () => ((await probe()) === undefined ? undefined : true), {
      deadlineMs,
      running,
    })
    return running
  } catch (error) {
    await running?.stop()
    await removeDirectory(options.directory)
    throw error
  }
}

interface Stoppable {
  stop(): Promise<void>
}

/** Waits for servers that start side by side. If one fails, ends the others and rejects with its reason. */
export async function startTogether<T extends Stoppable>(starts: readonly Promise<T>[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(starts)
  const started = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  return orStop(started, () => Promise.all(starts))
}

/** Takes the steps that make running servers ready. If one fails, ends the servers and rejects with its reason. */
export async function orStop<T>(servers: readonly Stoppable[], steps: () => Promise<T>): Promise<T> {
  try {
    return await steps()
  } catch (error) {
    await Promise.all(servers.map((server) => server.stop()))
    throw error
  }
}

async function launch(program: ServerProgram, options: ServerOptions): Promise<Running> {
  const contained = await startInContainer(program, options)
  if (contained !== undefined) return contained

  const binary = await findBinary(program)
  if (options.version !== undefined && !binary.version.startsWith(options.version)) {
    throw new Error(
      `${program.name} ${options.version} was asked for; this machine has ${binary.version} (${binary.path}), ` +
        `and no Docker engine that could run ${program.image}:${options.version}`,
    )
  }
  announce(`${program.name}: ${binary.how} ${binary.version}`)
  const { args, directory: cwd, env = {} } = options
  const child = { command: binary.path, args, cwd, env }
  return options.inside === undefined ? startChild(child) : options.inside.start(child)
}

async function startInContainer(
  program: ServerProgram,
  options: ServerOptions,
): Promise<Running | undefined> {
  const image = `${program.image}:${options.version ?? program.tag}`
  if (options.inside !== undefined || imagesMissing.has(image) || !(await dockerAnswers())) return undefined
  const binary = program.binaries[0]
  if (binary === undefined) throw new Error(`${program.name} names no binary`)
  try {
    const running = await startContainer({
      image,
      program: binary,
      args: options.args,
      mount: (await rootDirectory()).path,
      workingDirectory: options.directory,
      env: options.env ?? {},
    })
    announce(`${program.name}: container ${image}`)
    return running
  } catch (error) {
    if (testParts() === 'container')
      throw new Error(`${program.name} cannot run in a container of ${image}: ${messageOf(error)}`, {
        cause: error,
      })
    imagesMissing.add(image)
    announce(
      `${program.name}: container ${image} is not available (${messageOf(error)}); looking for a binary`,
    )
    return undefined
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Makes a directory for a server. `removeDirectory` removes it, or the exit of this process. */
export async function makeDirectory(name: string): Promise<string> {
  open++
  const { path } = await rootDirectory()
  return mkdtemp(join(path, `${name}-`))
}

export async function removeDirectory(directory: string): Promise<void> {
  if (!existsSync(directory)) return
  await rm(directory, { recursive: true, force: true, maxRetries: 3 })
  // vitest ends its forks without an 'exit' event, so removing the last directory also removes the root.
  if (--open > 0 || root === undefined) return
  // The root is given up at once, so that a `makeDirectory` meanwhile gets a new one.
  const empty = root
  root = undefined
  const { path, removeAtExit } = await empty
  process.off('exit', removeAtExit)
  await rm(path, { recursive: true, force: true })
}

/** One root per process. Containers mount it, so that a server can read what another fixture wrote. */
function rootDirectory(): Promise<Root> {
  root ??= mkdtemp(join(tmpdir(), 'peerage-')).then((path) => {
    const removeAtExit = (): void => rmSync(path, { recursive: true, force: true })
    process.once('exit', removeAtExit)
    return { path, removeAtExit }
  })
  return root
}
