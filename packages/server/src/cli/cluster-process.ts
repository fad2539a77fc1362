import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

/** A node that drains takes up to times.drainMs (20 s). Redis and HAProxy end at once. */
const KILL_AFTER_MS = 25_000

// Debian keeps servers in directories that are not in the PATH of an ordinary account.
const SERVER_DIRECTORIES = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin']

/** The path of the first of these programs that is installed. */
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
    return false // it does not exist, or this account may not run it
  }
}

export interface ClusterProcessOptions {
  name: string
  command: string
  args: readonly string[]
  env: Readonly<Record<string, string | undefined>>
  /** Called for each line of its output. */
  onLine: (line: string) => void
  /** setpriv(1), where it is installed: with it, the kernel ends the process when this one dies in any way. */
  setpriv: string | undefined
}

export function startProcess(options: ClusterProcessOptions): Promise<ClusterProcess> {
  const { name, env, setpriv } = options
  const [command, args] =
    setpriv === undefined
      ? [options.command, options.args]
      : [setpriv, ['--pdeathsig', 'TERM', '--', options.command, ...options.args]]
  // The process gets a group of its own. Ctrl-C then reaches only this process, which ends the others in order.
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...env }, detached: true })
  const started = new ClusterProcess(child, options)
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new Error(`${name} cannot be started: ${error.message}`)))
    child.once('spawn', () => resolve(started))
  })
}

/** The last lines of output that are kept, for the message when the process fails. */
const KEPT_LINES = 10

/** A process of the local cluster: Redis, a node or HAProxy. */
export class ClusterProcess {
  readonly name: string
  /** Resolves when it has ended, with its exit code or signal in words. */
  readonly ended: Promise<string>
  readonly #child: ChildProcessByStdio<null, Readable, Readable>
  readonly #lines: string[] = []
  readonly #readers = new Set<(line: string) => void>()

  constructor(child: ChildProcessByStdio<null, Readable, Readable>, { name, onLine }: ClusterProcessOptions) {
    this.name = name
    this.#child = child
    this.#readers.add(onLine)
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) =>
        resolve(signal === null ? `exit code ${code}` : `signal ${signal}`),
      )
    })
    const hear = (line: string): void => this.#hear(line)
    for (const stream of [child.stdout, child.stderr])
      createInterface({ input: stream })
        .on('line', hear)
        // The pipe broke. The event `exit` says whether the process has ended.
        .on('error', (error: Error) => hear(`${name}: its output cannot be read: ${error.message}`))
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get lastLines(): string {
    return this.#lines.join('\n')
  }

  /** Calls `read` with each line, kept or still to come, until it returns a value. Resolves with that value. */
  line<T>(read: (line: string) => T | undefined): Promise<T> {
    return new Promise((resolve) => {
      const take = (line: string): void => {
        const value = read(line)
        if (value !== undefined) resolve(value)
      }
      this.#readers.add(take)
      for (const line of this.#lines) take(line)
    })
  }

  /** Sends SIGTERM, and SIGKILL when that does not end it. Resolves when it has ended. */
  async end(): Promise<void> {
    const child = this.#child
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS)
    await this.ended
    clearTimeout(timer)
  }

  #hear(line: string): void {
    this.#lines.push(line)
    if (this.#lines.length > KEPT_LINES) this.#lines.shift()
    for (const read of this.#readers) read(line)
  }
}
