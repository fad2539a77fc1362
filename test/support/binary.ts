import { execFile } from 'node:child_process'
import { accessSync, constants, readdirSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/** A program that a fixture runs. */
export interface Tool {
  /** Its name in messages: `redis`. */
  name: string
  /** The names under which it may be installed, best first. */
  binaries: readonly string[]
  /** The Debian package that contains it; several packages are separated by spaces. */
  debianPackage: string
  /** A further requirement in words, and a check whether the program at a path meets it. */
  having?: { what: string; check: (path: string) => boolean }
  /** The image that contains it, if a container can run it instead. */
  image?: string
}

export interface Program extends Tool {
  /** How to read the version from the program's output. */
  version: { args: readonly string[]; pattern: RegExp }
}

export interface Binary {
  path: string
  version: string
  /** How we found it, for the message on standard error. */
  how: 'system binary' | 'binary installed with apt-get'
}

// Debian keeps servers in directories that the PATH of an ordinary account does not list.
const SERVER_DIRECTORIES = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin']
// One lock for all processes of this machine: apt-get refuses to run twice at once.
const APT_LOCK = join(tmpdir(), 'peerage-test-apt.lock')
// Chromium with its libraries is about 100 MB on a slow mirror.
const APT_DEADLINE_MS = 600_000
const VERSION_DEADLINE_MS = 15_000

const execute = promisify(execFile)
const announced = new Set<string>()

/** The path of an installed program: the first one that is `fit`, or undefined. */
export function locate(name: string, fit: (path: string) => boolean = () => true): string | undefined {
  const path = process.env['PATH'] ?? ''
  for (const directory of [...path.split(delimiter), ...SERVER_DIRECTORIES]) {
    if (directory === '') continue
    const candidate = join(directory, name)
    try {
      accessSync(candidate, constants.X_OK)
      if (statSync(candidate).isFile() && fit(candidate)) return candidate
    } catch {
      continue // not in this directory
    }
  }
  return undefined
}

/**
 * Finds the program's binary and its version: the system's, or else one that apt-get installs (as root on Debian).
 * Throws an Error that names the missing program and how to install it.
 */
export async function findBinary(program: Program): Promise<Binary> {
  const { path, how } = await findTool(program)
  const { stdout, stderr } = await execute(path, [...program.version.args], { timeout: VERSION_DEADLINE_MS })
  const version = program.version.pattern.exec(`${stdout}\n${stderr}`)?.[1]
  if (version === undefined) throw new Error(`${path} printed no version: ${stdout}${stderr}`)
  return { path, version, how }
}

/** As `findBinary`, for a program that does not print its version. */
export async function findTool(tool: Tool): Promise<Omit<Binary, 'version'>> {
  const installed = locateAny(tool)
  if (installed !== undefined) return { path: installed, how: 'system binary' }

  const reason = cannotInstall()
  if (reason !== undefined) throw missing(tool, reason)
  process.stderr.write(`${tool.name}: not installed; running apt-get install ${tool.debianPackage} …\n`)
  await aptInstall(tool)
  const path = locateAny(tool)
  if (path === undefined)
    throw missing(tool, `apt-get installed ${tool.debianPackage}, which does not contain it`)
  return { path, how: 'binary installed with apt-get' }
}

/** Reports on standard error, once per process, which implementation of a program runs. */
export function announce(line: string): void {
  if (announced.has(line)) return
  announced.add(line)
  process.stderr.write(`${line}\n`)
}

function locateAny({ binaries, having }: Tool): string | undefined {
  for (const name of binaries) {
    const path = locate(name, having?.check)
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
  const having = tool.having === undefined ? '' : ` with ${tool.having.what}`
  return new Error(
    `${tool.name} is missing: there is no ${tool.binaries.join(' or ')}${having} on this machine, and ${reason}. ` +
      `Install it (Debian, Ubuntu: sudo apt-get install ${tool.debianPackage})${container}.`,
  )
}

/** Installs a package without starting its service. flock(1) releases the lock even if this process is killed. */
async function aptInstall(tool: Tool): Promise<void> {
  const install = `apt-get install -y --no-install-recommends ${tool.debianPackage}`
  // A process that waited for the lock may find the package installed. Without package lists, an update must come first.
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
