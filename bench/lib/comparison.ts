/** The result of one measurement of one contender: metric → value, in the unit that its row names. */
export type Metrics = Readonly<Record<string, number>>

export interface Settings {
  /** Runs with a fraction of the usual durations and numbers, to see whether everything runs. */
  quick: boolean
  /** Reports progress on standard error. */
  say(line: string): void
}

/** A running contender, which can be measured repeatedly. */
export interface Started {
  measure(): Promise<Metrics>
  stop(): Promise<void>
}

export interface Contender {
  name: string
  start(settings: Settings): Promise<Started>
}

/** The limit for a row's ratio, or for the subject's own value. */
export type Aim =
  | { of: 'ratio'; most: number }
  | { of: 'ratio'; least: number }
  | { of: 'value'; most: number }

/** One line of the table. */
export interface Row {
  measure: string
  metric: string
  unit: string
  subject: string
  /** The contender that the subject is divided by; absent if the row states only a value. */
  against?: string
  /** The metric of `against`, if it has another name. */
  againstMetric?: string
  aim?: Aim
}

export interface Comparison {
  id: string
  title: string
  /** An exact description of the load, for the table's notes and the JSON. */
  load: string
  /**
   * kept: processes start once, and the contenders are measured in turns. fresh: every measurement starts new processes,
   * because a measurement changes them (memory, reconnects).
   */
  processes: 'kept' | 'fresh'
  /** The number of rounds, unless the runner is told otherwise. */
  rounds: number
  contenders: readonly Contender[]
  rows: readonly Row[]
}
