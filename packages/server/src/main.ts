import { readFileSync } from 'node:fs'
import { run } from './cli/program.js'

// The only place that knows this process: its environment, its signals, its exit codes.

const terminate = new AbortController()
/** A shell says 128 + the signal's number for a process that a signal ended. */
const SIGNAL_CODES = { SIGINT: 130, SIGTERM: 143 } as const

function onSignal(signal: keyof typeof SIGNAL_CODES): void {
  if (terminate.signal.aborted) process.exit(SIGNAL_CODES[signal])
  terminate.abort()
}

let hungUp = (): void => {}

function die(error: unknown, origin: string): never {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  const time = new Date().toISOString()
  process.stderr.write(`${JSON.stringify({ level: 'fatal', time, origin, error: text, msg: 'crashed' })}\n`)
  process.exit(1)
}

// `peerage print-config | head`: whoever read has had enough. `peerage cluster` has processes to end then.
process.stdout.on('error', () => terminate.abort())
// Nobody reads what goes wrong: that is no reason to end.
process.stderr.on('error', () => {})
process.on('SIGINT', onSignal)
process.on('SIGTERM', onSignal)
process.on('SIGHUP', () => hungUp())
process.on('uncaughtException', die)
process.on('unhandledRejection', (reason) => die(reason, 'unhandledRejection'))

const code = await run(process.argv.slice(2), {
  env: process.env,
  readFile: (path) => readFileSync(path, 'utf8'),
  out: (line) => void process.stdout.write(`${line}\n`),
  err: (line) => void process.stderr.write(`${line}\n`),
  isTerminal: process.stderr.isTTY,
  terminated: terminate.signal,
  onHangup: (listener) => void (hungUp = listener),
})
process.exit(code)
