import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

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
  /** Hears each line that it says. */
  onLine: (line: string) => void
  /** setpriv(1), where there is one: the kernel then ends the part when this process dies in whatever way. */
  setpriv: string | undefined
}

export function startPart(options: PartOptions): Promise<Part> {
  const { name, env, setpriv } = options
  const [command, args] =
    setpriv === undefined
      ? [options.command, options.args]
      : [setpriv, ['--pdeathsig', 'TERM', '--', options.command, ...options.args]]
  // A group of its own: a Ctrl-C reaches this process alone, which then ends the parts in their order.
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...env }, detached: true })
  const part = new Part(child, options)
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new Error(`${name} cannot be started: ${error.message}`)))
    child.once('spawn', () => resolve(part))
  })
}

/** What a part said last, for the message when it fails. */
const KEPT_LINES = 10

/** A process of the cluster on trial. */
export class Part {
  readonly name: string
  /** Resolves, with how, when it has ended. */
  readonly ended: Promise<string>
  readonly #child: ChildProcessByStdio<null, Readable, Readable>
  readonly #lines: string[] = []
  readonly #readers = new Set<(line: string) => void>()

  constructor(child: ChildProcessByStdio<null, Readable, Readable>, { name, onLine }: PartOptions) {
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
        // The pipe broke: its end is seen by the part's own.
        .on('error', (error: Error) => hear(`${name}: its output cannot be read: ${error.message}`))
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get lastLines(): string {
    return this.#lines.join('\n')
  }

  /** The first line, said lately or still to come, from which `read` gets something. */
  said<T>(read: (line: string) => T | undefined): Promise<T> {
    return new Promise((resolve) => {
      const take = (line: string): void => {
        const value = read(line)
        if (value !== undefined) resolve(value)
      }
      this.#readers.add(take)
      for (const line of this.#lines) take(line)
    })
  }

  /** Sends SIGTERM, then SIGKILL to what does not listen, and waits until it is gone. */
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
