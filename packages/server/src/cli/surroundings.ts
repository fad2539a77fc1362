import type { Environment } from '../config/sources.js'

/** All that a command may touch of its process; `main` alone knows the real one. */
export interface Surroundings extends Environment {
  /** Each writes one line. */
  out: (line: string) => void
  err: (line: string) => void
  /** Somebody watches standard error. */
  isTerminal: boolean
  /** Aborted by the first SIGTERM or SIGINT. */
  terminated: AbortSignal
  /** Calls one listener for each SIGHUP, which never ends the process. */
  onHangup: (listener: () => void) => void
}

/** 0: done; 1: failed at run time; 2: the configuration is wrong. */
export type ExitCode = 0 | 1 | 2

/** Resolves when the process is told to end. */
export function toldToEnd({ terminated }: Surroundings): Promise<void> {
  return new Promise((resolve) => {
    if (terminated.aborted) resolve()
    else terminated.addEventListener('abort', () => resolve(), { once: true })
  })
}
