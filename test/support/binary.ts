import { execFile } from 'node:child_process'
import { accessSync, constants, readdirSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/** Something a fixture runs. */
export interface Tool {
  /** What it is called in messages: `redis`. */
  part: string
  /** The names it may be installed under, best first. */
  binaries: readonly string[]
  /** The Debian package that brings it. */
  debianPackage: string
  /** The image that holds it, where a container could run it instead. */
  image?: string
}

export interface Program extends Tool {
  /** Reads the version from what the program prints about itself. */
  version: { args: readonly string[]; pattern: RegExp }
}

export interface Binary {
  path: string
  version: string
  /** How we came by it, in the words that go to standard error. */
  how: 'system binary' | 'binary installed with apt-get'
}

// Debian keeps servers where an ordinary account's PATH does not look.
const SERVER_DIRECTORIES = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin']
// One lock for all processes of this machine: apt-get refuses to run twice at once.
const APT_LOCK = join(tmpdir(), 'peerage-test-apt.lock')
// Chromium with its libraries is about 100 MB on a slow mirror.
const APT_DEADLINE_MS = 600_000
const VERSION_DEADLINE_MS = 15_000

const execute = promisify(execFile)
const announced = new Set<string>()

/** The path of an installed program, or undefined. */
export function locate(name: string): string | undefined {
  const path = process.env['PATH'] ?? ''
  for (const directory of [...path.split(delimiter), ...SERVER_DIRECTORIES]) {
    if (directory === '') continue
    const candidate = join(directory, name)
    try {
      accessSync(candidate, constants.X_OK)
      if (statSync(candidate).isFile()) return candidate
    } catch {
      continue // not in this directory
    }
  }
  return undefined
}

/**
 * The program's binary with its version: the system's, else one that apt-get brings (as root on Debian).
 * Throws an Error that names what is missing and how to install it.
 */
export async function findBinary(program: Program): Promise<Binary> {
  const { path, how } = await findTool(program)
  const { stdout, stderr } = await execute(path, [...program.version.args], { timeout: VERSION_DEADLINE_MS })
  const version = program.version.pattern.exec(`${stdout}\n${stderr}`)?.[1]
  if (version === undefined) throw new Error(`${path} does not tell its version: ${stdout}${stderr}`)
  return { path, version, how }
}

/** The same for a program that does not tell its version. */
export async function findTool(tool: Tool): Promise<Omit<Binary, 'version'>> {
  const installed = locateAny(tool.binaries)
  if (installed !== undefined) return { path: installed, how: 'system binary' }

  await installTool(tool)
  const path = locateAny(tool.binaries)
  if (path === undefined)
    throw missing(tool, `apt-get installed ${tool.debianPackage}, which does not bring it`)
  return { path, how: 'binary installed with apt-get' }
}

/**
 * Runs apt-get for it (as root on Debian).
 * Throws an Error that names what is missing and how to install it.
 */
export async function installTool(tool: Tool): Promise<void> {
  const reason = cannotInstall()
  if (reason !== undefined) throw missing(tool, reason)
  process.stderr.write(`${tool.part}: not installed; running apt-get install ${tool.debianPackage} …\n`)
  await aptInstall(tool)
}

/** Says on standard error, once a process, which implementation of a part runs. */
export function announce(line: string): void {
  if (announced.has(line)) return
  announced.add(line)
  process.stderr.write(`${line}\n`)
}

function locateAny(names: readonly string[]): string | undefined {
  for (const name of names) {
    const path = locate(name)
    if (path !== undefined) return path
  }
  return undefined
}

function cannotInstall(): string | undefined {
  if (locate('apt-get') === undefined) return 'this machine has no apt-get'
  if (process.getuid?.() !== 0) return 'only root may install it with apt-get'
  return undefined
}

function missing(tool: Tool, reason: string): Error {
  const container = tool.image === undefined ? '' : `, or start a Docker engine (it would run ${tool.image})`
  return new Error(
    `${tool.part} is missing: there is no ${tool.binaries.join(' or ')} on this machine, and ${reason}. ` +
      `Install it (Debian, Ubuntu: sudo apt-get install ${tool.debianPackage})${container}.`,
  )
}

/** Installs a package without starting its service; flock(1) drops the lock even when we are killed. */
async function aptInstall(tool: Tool): Promise<void> {
  const install = `apt-get install -y --no-install-recommends ${tool.debianPackage}`
  // Whoever waited for the lock may find the work done; without package lists an update must come first.
  const script = havePackageLists()
    ? `${install} || (apt-get update && ${install})`
    : `apt-get update && ${install}`
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1', SYSTEMD_OFFLINE: '1' }
  try {
    await execute('flock', [APT_LOCK, 'sh', '-c', script], {
      timeout: APT_DEADLINE_MS,
      env,
      maxBuffer: 1 << 26,
    })
  } catch (error) {
    throw missing(tool, `apt-get install failed: ${String(error)}`)
  }
}

function havePackageLists(): boolean {
  try {
    return readdirSync('/var/lib/apt/lists').some(
      (name) => name.endsWith('_Packages') || name.endsWith('.lz4'),
    )
  } catch {
    return false // no directory, no lists
  }
}
