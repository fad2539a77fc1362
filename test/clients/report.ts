import type { Cell } from './cells.js'

/** One cell, run once or several times. */
export interface CellResult {
  cell: Cell
  /** For each run without a failure: the time until all had met. */
  milliseconds: number[]
  failures: string[]
}

/** The head of a table in which each line is a cell. */
export const HEADER = [
  '| client | platforms | situation | runs without a failure | median (ms) | longest (ms) |',
  '|---|---|---|---|---|---|',
]

export function row({ cell, milliseconds, failures }: CellResult): string {
  const sorted = milliseconds.toSorted((a, b) => a - b)
  const shown = (value: number | undefined): string => value?.toFixed(0) ?? '–'
  return `| ${[
    cell.program + (cell.password === undefined ? '' : ', password'),
    cell.platforms.join(', '),
    cell.situation,
    `${sorted.length} of ${sorted.length + failures.length}`,
    shown(sorted[Math.floor(sorted.length / 2)]),
    shown(sorted.at(-1)),
  ].join(' | ')} |`
}
