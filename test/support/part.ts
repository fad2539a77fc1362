import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { announce, findBinary, type Program } from './binary.js'
import { dockerAnswers, startContainer } from './container.js'
import { startChild, type Running } from './process.js'

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
}

const directories = new Set<string>()
let watchingExit = false
// An image that could not be had once is not asked for again: pulling takes long to fail.
const imagesNotHad = new Set<string>()

/**
 * Starts a part: in a container where a Docker engine answers, else from the system's binary, else from
 * one that apt-get brings; says on standard error which. Throws an Error that names what is missing.
 */
export async function startPart(part: Part, options: PartOptions): Promise<Running> {
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
  return startChild({ command: binary.path, args: options.args, cwd: options.directory, env })
}

async function startInContainer(part: Part, options: PartOptions): Promise<Running | undefined> {
  const image = `${part.image}:${options.version ?? part.tag}`
  if (imagesNotHad.has(image) || !(await dockerAnswers())) return undefined
  const program = part.binaries[0]
  if (program === undefined) throw new Error(`${part.part} names no binary`)
  try {
    const env = options.env ?? {}
    const running = await startContainer({
      image,
      program,
      args: options.args,
      directory: options.directory,
      env,
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
  if (!watchingExit) {
    watchingExit = true
    process.on('exit', () => {
      for (const left of directories) rmSync(left, { recursive: true, force: true })
    })
  }
  const directory = await mkdtemp(join(tmpdir(), `peerage-${part}-`))
  directories.add(directory)
  return directory
}

export async function removeDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true, maxRetries: 3 })
  directories.delete(directory)
}
