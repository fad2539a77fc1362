import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setPriority } from 'node:os'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { locate } from './binary.js'

/** How a process ended. For a container only the code is known. */
export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

/** A running process, on this machine or in a container. */
export interface Running {
  /** The process id on this machine, from the kernel or the Docker engine. */
  readonly pid: number
  /** Resolves when it has ended, for any reason. Never rejects. */
  readonly stopped: Promise<Exit>
  /** The newest lines of standard output and standard error, for error messages. */
  output(): string
  /** Sends a signal, unless the process has ended. Resolves when the signal is sent. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Sends SIGSTOP: it freezes, and its sockets stay open. */
  pause(): Promise<void>
  /** Sends SIGCONT. */
  resume(): Promise<void>
  /** Sends SIGKILL and waits until the process is gone. */
  stop(): Promise<void>
}

/** A process of this machine. */
export interface Child extends Running {
  /** Writes a line to its standard input. It must have been started with `input`. */
  tell(line: string): void
  /** Sends it a message over Node's IPC channel. It must have been started with `onMessage`. */
  send(message: Readonly<Record<string, unknown>>): void
  /** The lines so far, oldest first. Beyond 20,000 the oldest are dropped. */
  readonly lines: readonly string[]
  /**
   * The first line, already printed or future, for which `read` returns a value.
   * Rejects with the output if the process ends or the deadline passes first.
   */
  line<T>(read: (line: string) => T | undefined, deadlineMs: number): Promise<T>
}

export interface ChildOptions {
  command: string
  args: readonly string[]
  /** Variables besides those of `childEnvironment`. */
  env?: NodeJS.ProcessEnv
  cwd?: string
  /** Whether it reads its standard input; see `tell`. */
  input?: boolean
  /** Opens Node's IPC channel and receives its messages. */
  onMessage?: (message: unknown) => void
  /** Its priority from its start on, as for `nice`: -20 (highest) to 19 (lowest), by default 0. */
  nice?: number
}

/** Enough for any error message, and for a chaos run that reads a node's log afterwards. */
const KEPT_LINES = 20_000
const SHOWN_LINES = 60
const LAST_OUTPUT_MS = 1_000

/**
 * Variables of the shell or CI that would change what a child prints or does: colors, flags of Node, and settings of a
 * node. The variables of the tests themselves stay, because children may be tests too.
 */
const NOT_INHERITED =
  /^(?:CI|NO_COLOR|FORCE_COLOR|NODE_DISABLE_COLORS|NODE_OPTIONS|PEERAGE_(?!(?:TEST|BENCH|CHAOS)_).*)$/

/** The environment of a child: that of this process without NOT_INHERITED, and `own`. */
export function childEnvironment(own: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !NOT_INHERITED.test(name))
  return { ...Object.fromEntries(inherited), ...own }
}

const living = new Set<number>()
let watchingExit = false

/** Starts a process that ends with this one, even if this one is killed. */
export async function startChild(options: ChildOptions): Promise<Child> {
  watchExit()
  const [command, args] = withParentDeath(options.command, options.args)
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe', ...(options.onMessage === undefined ? [] : ['ipc' as const])],
    env: childEnvironment(options.env),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  await once(child, 'spawn') // rejects with the reason if there is no such program
  const { pid, stdin, stdout, stderr } = child
  if (pid === undefined || stdin === null || stdout === null || stderr === null)
    throw new Error(`${options.command} started without a process id, or without its pipes`)
  if (options.onMessage !== undefined) child.on('message', options.onMessage)
  if (options.nice !== undefined) setPriority(pid, options.nice)
  living.add(pid)

  const lines: string[] = []
  const readers = new Set<(line: string) => void>()
  const keep = (line: string): void => {
    lines.push(line)
    if (lines.length > 2 * KEPT_LINES) lines.splice(0, KEPT_LINES)
    for (const read of readers) read(line)
  }
  readLines(stdout, keep)
  readLines(stderr, keep)
  // The child may end before it has read its input.
  stdin.on('error', () => undefined)
  if (options.input !== true) stdin.end()

  let ended = false
  const stopped = new Promise<Exit>((resolve) => {
    // 'close' comes after the last line of output; 'exit' may come before it.
    child.once('close', (code, signal) => resolve({ code, signal }))
    child.once('exit', () => {
      ended = true
      living.delete(pid)
      // A grandchild may hold the pipes open, but the child has ended all the same.
      setTimeout(() => {
        stdout.destroy()
        stderr.destroy()
      }, LAST_OUTPUT_MS).unref()
    })
  })
  const output = (): string => lines.slice(-SHOWN_LINES).join('\n')
  const kill = (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    if (!ended) child.kill(signal)
    return Promise.resolve()
  }

  return {
    pid,
    tell: (line) => {
      if (options.input !== true) throw new Error(`${options.command} was started without input`)
      stdin.write(`${line}\n`)
    },
    send: (message) => {
      if (!child.connected) throw new Error(`${options.command} has no channel for messages, or has ended`)
      child.send(message)
    },
    lines,
    stopped,
    output,
    kill,
    pause: () => kill('SIGSTOP'),
    resume: () => kill('SIGCONT'),
    stop: async () => {
      await kill('SIGKILL')
      await stopped
    },
    line: <T>(read: (line: string) => T | undefined, deadlineMs: number) =>
      new Promise<T>((resolve, reject) => {
        const settle = (act: () => void): void => {
          clearTimeout(timer)
          readers.delete(take)
          act()
        }
        const take = (line: string): void => {
          try {
            const value = read(line)
            if (value !== undefined) settle(() => resolve(value))
          } catch (error) {
            settle(() => reject(error)) // `read` throws for a line that reports a failure
          }
        }
        const fail = (what: string): void =>
          settle(() => reject(new Error(`${options.command} ${what}:\n${output()}`)))
        const timer = setTimeout(
          () => fail(`did not print the expected line within ${deadlineMs} ms`),
          deadlineMs,
        )
        readers.add(take)
        for (const line of lines) take(line)
        void stopped.then((exit) => fail(`ended (code ${exit.code}, signal ${exit.signal})`))
      }),
  }
}

/** Runs a program to its end and returns its output. Rejects with the output unless it exits with 0. */
export async function run(
  command: string,
  args: readonly string[],
  deadlineMs = 30_000,
  options: Pick<ChildOptions, 'nice'> = {},
): Promise<string> {
  const child = await startChild({ command, args, ...options })
  const timer = setTimeout(() => void child.kill(), deadlineMs)
  const exit = await child.stopped
  clearTimeout(timer)
  const text = child.lines.join('\n')
  if (exit.code === 0) return text
  throw new Error(`${command} ${args.join(' ')} ended (code ${exit.code}, signal ${exit.signal}):\n${text}`)
}

/**
 * Repeats `probe` until it returns a value. An error of `probe` counts as "not yet".
 * Rejects with the last reason at the deadline, or at once if `running` ends.
 */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  options: { deadlineMs: number; running?: Running; everyMs?: number },
): Promise<T> {
  const end = performance.now() + options.deadlineMs
  let reason: unknown = 'no answer'
  let exit: Exit | undefined
  void options.running?.stopped.then((e) => (exit = e))
  // It probes at least once, even if the deadline has already passed.
  do {
    try {
      const value = await probe()
      if (value !== undefined) return value
    } catch (error) {
      reason = error
    }
    if (exit !== undefined) break
    await new Promise((resolve) => setTimeout(resolve, options.everyMs ?? 20))
  } while (performance.now() < end)
  const how = exit === undefined ? `within ${options.deadlineMs} ms` : `before it ended (code ${exit.code})`
  throw new Error(`${what}: not ${how}: ${String(reason)}\n${options.running?.output() ?? ''}`)
}

function readLines(stream: Readable, keep: (line: string) => void): void {
  createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', keep)
}

/** Linux: the kernel kills the child when this process dies, for any reason (prctl PR_SET_PDEATHSIG). */
function withParentDeath(command: string, args: readonly string[]): [string, string[]] {
  const setpriv = process.platform === 'linux' ? locate('setpriv') : undefined
  if (setpriv === undefined) return [command, [...args]]
  return [setpriv, ['--pdeathsig', 'KILL', '--', command, ...args]]
}

/** Without setpriv, an ordinary exit still ends the children. */
function watchExit(): void {
  if (watchingExit) return
  watchingExit = true
  process.on('exit', () => {
    for (const pid of living) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch (error) {
        process.stderr.write(`process ${pid} could not be ended: ${String(error)}\n`)
      }
    }
  })
}
