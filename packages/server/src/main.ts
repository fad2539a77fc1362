import { closeSync, openSync, readFileSync } from 'node:fs'
import { isatty } from 'node:tty'
import { run } from './cli/program.js'
import { startedAs } from './cli/started-as.js'

// The only file that touches the process itself: its environment, its signals and its exit codes.

const terminate = new AbortController()
/** A shell reports 128 + the number of the signal for a process that a signal ended. */
const SIGNAL_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

function onSignal(signal: keyof typeof SIGNAL_CODES): void {
  if (terminate.signal.aborted) process.exit(SIGNAL_CODES[signal])
  terminate.abort()
}

let hungUp = (): void => {}

/** Whether the terminal that this process belongs to is there. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return true
  } catch {
    return false
  }
}

// The system sends SIGHUP when a terminal is closed. An operator sends it as well, to a process whose terminal is open, or
// that has none. `nohup` replaces all streams that lead to the terminal, and the process then outlives it.
const hadTerminal = [0, 1, 2].some((stream) => isatty(stream)) && hasTerminal()

function die(error: unknown, origin: string): never {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  const time = new Date().toISOString()
  const line = process.stderr.isTTY
    ? `peerage: crashed (${origin}): ${text}`
    : JSON.stringify({ level: 'fatal', time, origin, error: text, msg: 'crashed' })
  process.stderr.write(`${line}\n`)
  process.exit(1)
}

// The reader of the output has ended, as with `peerage print-config | head`. `peerage cluster` must then end its processes.
process.stdout.on('error', () => terminate.abort())
// If nobody reads standard error, the program goes on.
process.stderr.on('error', () => {})
process.on('SIGINT', onSignal)
process.on('SIGTERM', onSignal)
process.on('SIGHUP', () => (hadTerminal && !hasTerminal() ? closedTerminal() : hungUp()))
process.on('uncaughtException', die)
process.on('unhandledRejection', (reason) => die(reason, 'unhandledRejection'))

let isTerminalClosed = false

function closedTerminal(): void {
  isTerminalClosed = true
  onSignal('SIGHUP')
}

const code = await run(process.argv.slice(2), {
  env: process.env,
  readFile: (path) => readFileSync(path, 'utf8'),
  out: (line) => void process.stdout.write(`${line}\n`),
  err: (line) => void process.stderr.write(`${line}\n`),
  isTerminal: process.stderr.isTTY,
  columns: process.stderr.isTTY ? process.stderr.columns : undefined,
  startedAs: startedAs({ script: process.argv[1] ?? '', directory: process.cwd(), env: process.env }),
  terminated: terminate.signal,
  // Standard input is opened only if a command reads it.
  get streams() {
    return { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr }
  },
  onHangup: (listener) => void (hungUp = listener),
})
if (isTerminalClosed) {
  // `process.exit` would reset the terminal that is gone, which aborts Node.
  process.removeAllListeners('SIGHUP')
  process.kill(process.pid, 'SIGHUP')
} else process.exit(code)
