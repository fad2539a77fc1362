import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, platform, release, totalmem } from 'node:os'
import type { Aim, Comparison, Metrics, Row } from './comparison.js'
import { REPOSITORY } from './processes.js'
import type { Samples } from './rounds.js'
import { median, pairedRatio, type Spread } from './stats.js'

/** One finished line of the table. */
export interface Result {
  comparison: string
  measure: string
  unit: string
  subject: string
  value: number
  against?: string
  againstValue?: number
  ratio?: Spread
  aim?: Aim
  met?: boolean
  rounds: number
}

/** One comparison's load, its results and all its samples. */
export interface Record {
  id: string
  title: string
  load: string
  results: readonly Result[]
  samples: { [contender: string]: readonly Metrics[] }
  failed?: string
}

const PACKAGES = [
  'socket.io',
  'engine.io',
  'ws',
  '@socket.io/redis-adapter',
  'ioredis',
  'peer',
  'peerjs',
  'socket.io-client',
  'y-webrtc',
  'bittorrent-tracker',
]
const GIB = 1024 ** 3
const RATIO_DIGITS = 2

export function resultsOf(comparison: Comparison, samples: Samples): Result[] {
  return comparison.rows
    .map((row) => resultOf(comparison.id, row, samples))
    .filter((result) => result !== undefined)
}

/** Undefined if this run left out a contender of the row. */
function resultOf(id: string, row: Row, samples: Samples): Result | undefined {
  const subject = pick(samples, row.subject, row.metric)
  if (subject.length === 0) return undefined
  const { measure, unit } = row
  const own = {
    comparison: id,
    measure,
    unit,
    subject: row.subject,
    value: median(subject),
    rounds: subject.length,
  }
  if (row.against === undefined) return withAim(own, row.aim)
  const against = pick(samples, row.against, row.againstMetric ?? row.metric)
  if (against.length === 0) return undefined
  const compared = {
    ...own,
    against: row.against,
    againstValue: median(against),
    ratio: pairedRatio(subject, against),
  }
  return withAim(compared, row.aim)
}

function withAim(result: Result, aim: Aim | undefined): Result {
  if (aim === undefined) return result
  const measured = aim.of === 'ratio' ? (result.ratio?.median ?? Number.NaN) : result.value
  const met = 'most' in aim ? measured <= aim.most : measured >= aim.least
  return { ...result, aim, met }
}

const pick = (samples: Samples, contender: string, metric: string): number[] =>
  (samples.get(contender) ?? []).map((metrics) => metrics[metric] ?? Number.NaN)

/** A markdown table, ready for a document. */
export function table(results: readonly Result[]): string {
  const rows = results.map((result) => [
    result.measure,
    `${number(result.value)} ${result.unit}`.trim(),
    result.against === undefined ? result.subject : `${result.subject} : ${result.against}`,
    result.againstValue === undefined ? '' : `${number(result.againstValue)} ${result.unit}`.trim(),
    result.ratio === undefined ? '' : spread(result.ratio),
    result.aim === undefined ? '' : describeAim(result.aim, result.unit),
    result.met === undefined ? '' : result.met ? 'met' : 'not met',
  ])
  const head = ['measure', 'measured', 'who', 'the other', 'ratio (least–most)', 'aim', '']
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

const number = (value: number): string =>
  Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3)))
const spread = ({ median: middle, least, most }: Spread): string =>
  `${middle.toFixed(RATIO_DIGITS)}× (${least.toFixed(RATIO_DIGITS)}–${most.toFixed(RATIO_DIGITS)})`
const describeAim = (aim: Aim, unit: string): string => {
  const times = aim.of === 'ratio' ? '×' : unit === '' ? '' : ` ${unit}`
  return 'most' in aim ? `≤ ${aim.most}${times}` : `≥ ${aim.least}${times}`
}

/** Writes the run as JSON, which names the machine's class but no host and no path. Returns the file's name. */
export function writeRun(records: readonly Record[], redisVersion: string | undefined): string {
  const now = new Date().toISOString()
  const directory = `${REPOSITORY}bench/results`
  mkdirSync(directory, { recursive: true })
  const name = `${now.slice(0, 19).replaceAll(':', '')}.json`
  const run = { date: now, machine: machineClass(), versions: versions(redisVersion), comparisons: records }
  writeFileSync(`${directory}/${name}`, `${JSON.stringify(run, undefined, 2)}\n`)
  return `bench/results/${name}`
}

export function machineClass(): { [what: string]: string | number } {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryGiB: Math.round(totalmem() / GIB),
    system: `${platform()} ${release().split('-')[0] ?? ''}`,
  }
}

export function versions(redisVersion: string | undefined): { [what: string]: string } {
  const installed = PACKAGES.map((name): [string, string] => [name, installedVersion(name)])
  return {
    commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: REPOSITORY }).toString().trim(),
    node: process.versions.node,
    ...(redisVersion === undefined ? {} : { redis: redisVersion }),
    ...Object.fromEntries(installed),
  }
}

function installedVersion(name: string): string {
  const text = readFileSync(`${REPOSITORY}node_modules/${name}/package.json`, 'utf8')
  return /"version":\s*"([^"]+)"/.exec(text)?.[1] ?? 'unknown'
}
