/** What one measurement of one contender found: metric → value, in the unit its row names. */
export type Metrics = Readonly<Record<string, number>>

export interface Settings {
  /** A fraction of the usual durations and numbers, to see that everything runs. */
  quick: boolean
  /** Says on standard error what is going on. */
  say(line: string): void
}

/** A contender that runs: it can be measured again and again. */
export interface Started {
  measure(): Promise<Metrics>
  stop(): Promise<void>
}

export interface Contender {
  name: string
  start(settings: Settings): Promise<Started>
}

/** What must hold for a row: its ratio, or the subject's value itself. */
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
  /** The contender it is divided by; absent for a row that states a value. */
  against?: string
  /** The metric of `against`, where it has another name. */
  againstMetric?: string
  aim?: Aim
}

export interface Comparison {
  id: string
  title: string
  /** The load, exactly: it goes into the table's notes and the JSON. */
  load: string
  /**
   * kept: processes start once and are measured in turns. fresh: every measurement has new processes, because
   * it wears them out (memory, reconnects).
   */
  processes: 'kept' | 'fresh'
  /** How often, unless the runner is told otherwise. */
  rounds: number
  contenders: readonly Contender[]
  rows: readonly Row[]
}
