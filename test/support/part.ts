import { existsSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { announce, findBinary, type Program } from './binary.js'
import { dockerAnswers, startContainer } from './container.js'
import { eventually, startChild, type ChildOptions, type Running } from './process.js'

/** A program together with the image that holds it. */
export interface Part extends Program {
  /** Its public image, without tag. */
  image: string
  tag: string
}

export interface PartOptions {
  args: readonly string[]
  directory: string
  /** A leading part of the version that must run, such as `7.2`; any when absent. */
  version?: string
  /** Extra environment for the program. */
  env?: Record<string, string>
  /** Starts it there, such as in a network namespace, always from a binary. */
  inside?: { start(options: ChildOptions): Promise<Running> }
  /** What it is when it is ready, and how to see it. */
  ready: { what: string; probe: () => Promise<unknown>; deadlineMs: number }
}

/** What a fixture of one process hands on of it. */
export interface Fixture extends Pick<Running, 'pid' | 'stopped' | 'output' | 'pause' | 'resume'> {
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>
  /** The same; its directory goes with it. */
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
// An image that could not be had once is not asked for again: pulling takes long to fail.
const imagesNotHad = new Set<string>()

/**
 * Starts a part and waits until it is ready: in a container where a Docker engine answers, else from the system's binary, else from
 * one that apt-get brings; says on standard error which. Throws an Error that names what is missing.
 */
export async function startPart(part: Part, options: PartOptions): Promise<Running> {
  const running = await launch(part, options)
  try {
    const { what, probe, deadlineMs } = options.ready
    await eventually(what, async () => ((await probe()) === undefined ? undefined : true), {
      deadlineMs,
      running,
    })
    return running
  } catch (error) {
    await running.stop()
    await removeDirectory(options.directory)
    throw error
  }
}

async function launch(part: Part, options: PartOptions): Promise<Running> {
  const contained = await startInContainer(part, options)
  if (contained !== undefined) return contained

  const binary = await findBinary(part)
  if (options.version !== undefined && !binary.version.startsWith(options.version)) {
    throw new Error(
      `${part.part} ${options.version} was asked for; this machine has ${binary.version} (${binary.path}), ` +
        `and no Docker engine that could run ${part.image}:${options.version}`,
    )
  }
  announce(`${part.part}: ${binary.how} ${binary.version}`)
  const env = options.env === undefined ? process.env : { ...process.env, ...options.env }
  const child = { command: binary.path, args: options.args, cwd: options.directory, env }
  return options.inside === undefined ? startChild(child) : options.inside.start(child)
}

async function startInContainer(part: Part, options: PartOptions): Promise<Running | undefined> {
  const image = `${part.image}:${options.version ?? part.tag}`
  if (options.inside !== undefined || imagesNotHad.has(image) || !(await dockerAnswers())) return undefined
  const program = part.binaries[0]
  if (program === undefined) throw new Error(`${part.part} names no binary`)
  try {
    const running = await startContainer({
      image,
      program,
      args: options.args,
      mount: (await rootDirectory()).path,
      workingDirectory: options.directory,
      env: options.env ?? {},
    })
    announce(`${part.part}: container ${image}`)
    return running
  } catch (error) {
    imagesNotHad.add(image)
    announce(`${part.part}: container ${image} cannot be had (${String(error)}); looking for a binary`)
    return undefined
  }
}

/** A directory of its own for a part; removed by `removeDirectory`, or when this process exits. */
export async function makeDirectory(part: string): Promise<string> {
  open++
  const { path } = await rootDirectory()
  return mkdtemp(join(path, `${part}-`))
}

export async function removeDirectory(directory: string): Promise<void> {
  if (!existsSync(directory)) return
  await rm(directory, { recursive: true, force: true, maxRetries: 3 })
  // vitest ends its forks without their 'exit', so the last one out removes the root.
  if (--open > 0 || root === undefined) return
  // At once, so that whoever asks for a directory meanwhile gets a new root.
  const empty = root
  root = undefined
  const { path, removeAtExit } = await empty
  process.off('exit', removeAtExit)
  await rm(path, { recursive: true, force: true })
}

/** One root a process: containers mount it, so that a part can read what another fixture wrote. */
function rootDirectory(): Promise<Root> {
  root ??= mkdtemp(join(tmpdir(), 'peerage-')).then((path) => {
    const removeAtExit = (): void => rmSync(path, { recursive: true, force: true })
    process.once('exit', removeAtExit)
    return { path, removeAtExit }
  })
  return root
}
