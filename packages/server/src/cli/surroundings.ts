import type { Readable, Writable } from 'node:stream'
import type { Environment } from '../config/sources.js'

/** All that a command may touch of its process. Only `main` knows the real process. */
export interface Surroundings extends Environment {
  /** Each writes one line. */
  out: (line: string) => void
  err: (line: string) => void
  /** Whether standard error is a terminal. */
  isTerminal: boolean
  /** The width of that terminal. Undefined if standard error is not a terminal. */
  columns: number | undefined
  /** How this program was started, for messages that name a command: `npm start --`, or `peerage` and the like. */
  startedAs: StartedAs
  /** Aborted by the first SIGTERM or SIGINT, and when the terminal of the process is closed. */
  terminated: AbortSignal
  /** For commands that ask, draw, or carry files. */
  streams: Streams
  /** Calls one listener for each SIGHUP, except that of a closed terminal. */
  onHangup: (listener: () => void) => void
}

/** The standard streams of the process. */
export interface Streams {
  stdin: Readable & { isTTY?: boolean }
  stdout: Writable & { isTTY?: boolean }
  stderr: Writable & { isTTY?: boolean; columns?: number }
}

export interface StartedAs {
  /** What comes before the name of a command: `peerage`, or `node packages/server/bin/peerage.js`. */
  program: string
  /** What comes before the flags of `serve`: `peerage serve`, or `npm start --`. */
  serve: string
}

/**
 * 0: done; 1: failed at run time; 2: the configuration or the command line is wrong. Of `send` and `receive` also 3: the
 * files were not wanted, or the transfer was ended by hand; 4: the link, the code or the password is wrong.
 */
export type ExitCode = 0 | 1 | 2 | 3 | 4

/** Resolves when the process is told to end. */
export function toldToEnd({ terminated }: Surroundings): Promise<void> {
  return new Promise((resolve) => {
    if (terminated.aborted) resolve()
    else terminated.addEventListener('abort', () => resolve(), { once: true })
  })
}
