/** All that a command may touch of its process; `main` alone knows the real one. */
export interface Surroundings {
  env: Readonly<Record<string, string | undefined>>
  /** Throws what the file system says. */
  readFile: (path: string) => string
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
