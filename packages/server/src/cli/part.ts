import { spawn, type ChildProcess } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'

/** A process of the cluster on trial. */
export interface Part {
  readonly name: string
  readonly pid: number
  /** Resolves when it has ended. */
  readonly ended: Promise<string>
  /** Sends SIGTERM, then SIGKILL to what does not listen, and waits until it is gone. */
  end(): Promise<void>
}

/** A draining node takes up to its drain time; everything else is quick. */
const KILL_AFTER_MS = 25_000

// Debian keeps servers where an ordinary account's PATH does not look.
const SERVER_DIRECTORIES = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin']

/** The first of these programs that is installed. */
export function locate(names: readonly string[], path: string): string | undefined {
  for (const name of names)
    for (const directory of [...path.split(delimiter), ...SERVER_DIRECTORIES]) {
      const file = join(directory, name)
      if (directory !== '' && isExecutable(file)) return file
    }
  return undefined
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false // not there, or not ours to run
  }
}

export interface PartOptions {
  name: string
  command: string
  args: readonly string[]
  env: Readonly<Record<string, string | undefined>>
  line: (text: string) => void
  /** setpriv(1), where there is one: the kernel then ends the part when this process dies in whatever way. */
  setpriv: string | undefined
}

export function startPart(options: PartOptions): Promise<Part> {
  const { name, env, line, setpriv } = options
  const [command, args] =
    setpriv === undefined
      ? [options.command, options.args]
      : [setpriv, ['--pdeathsig', 'TERM', '--', options.command, ...options.args]]
  // A group of its own: a Ctrl-C reaches this process alone, which then ends the parts in their order.
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...env }, detached: true })
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream })
      .on('line', line)
      // The pipe broke: its end is seen by the part's own.
      .on('error', (error: Error) => line(`${name}: its output cannot be read: ${error.message}`))
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new Error(`${name} cannot be started: ${error.message}`)))
    child.once('spawn', () => resolve(describe(name, child)))
  })
}

function describe(name: string, child: ChildProcess): Part {
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`))
  })
  return {
    name,
    pid: child.pid ?? 0,
    ended,
    end: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS)
      await ended
      clearTimeout(timer)
    },
  }
}
