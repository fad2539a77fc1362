/** What a run can make larger or smaller. */
export interface Settings {
  /** The size of a file that is moved, in MiB. */
  megabytes: number
  /** How often a transfer is broken and resumed. */
  breaks: number
  /** The size of the sparse file with which memory is watched, in MiB. */
  sparseMegabytes: number
  /** Decides where a transfer is broken. */
  seed: number
}

/** One line of the table. */
export interface Case {
  /** Words between colons, so that a part selects: `chromium`, `firefox:chromium:host-reloaded`. */
  readonly id: string
  readonly title: string
  /** Resolves with what it measured. Rejects if something is not as it must be. */
  run(settings: Settings): Promise<string>
}
