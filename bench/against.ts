/**
 * Compares this tree with another built tree of Peerage, comparison by comparison:
 *
 *   npm run build && npx tsc -b test/support bench    # in both trees
 *   node bench/dist/bench/against.js ../before --rounds 7 [--only ID] …
 *
 * The two trees take turns, each time in new processes. The other tree runs first and last. Each measurement of this tree
 * is compared with the other tree's measurement before it or after it, alternately. The measurements of the other tree are
 * also compared with each other, which shows how far two measurements of the same build lie apart.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { COMPARISONS } from './comparisons/all.js'
import type { Comparison } from './lib/comparison.js'
import { REPOSITORY } from './lib/processes.js'
import type { Record } from './lib/report.js'
import { pairedRatio, type Spread } from './lib/stats.js'

const USAGE = 'node bench/dist/bench/against.js OTHER_TREE [--rounds N] [--only ID] …'
/** The other stacks (socket.io, peer) are the same in both trees, so they are not measured. */
const OURS_PATTERN = /^(?:peerage|SDK)/
const WRITTEN_PATTERN = /^written to (\S+)$/m

/** Subject and metric → value, in one run of one tree. */
type Values = ReadonlyMap<string, number>

function measured(tree: string, comparison: Comparison): Values {
  const rows = comparison.rows.filter(({ subject }) => OURS_PATTERN.test(subject))
  const subjects = new Set(rows.map(({ subject }) => subject))
  const contenders = [...subjects].flatMap((subject) => ['--contender', subject])
  const args = ['--rounds', '1', '--only', comparison.id, ...contenders]
  const said = execFileSync(process.execPath, [`${tree}/bench/dist/bench/run.js`, ...args], {
    cwd: tree,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const written = WRITTEN_PATTERN.exec(said)?.[1]
  if (written === undefined) throw new Error(`${tree} wrote no results:\n${said}`)
  const file = `${tree}/${written}`
  const { comparisons } = JSON.parse(readFileSync(file, 'utf8')) as { comparisons: Record[] }
  rmSync(file)
  const samples = comparisons.find(({ id }) => id === comparison.id)?.samples ?? {}
  return new Map(
    rows.map(({ subject, metric, unit }) => [
      `${subject}: ${metric} (${unit})`,
      samples[subject]?.[0]?.[metric] ?? Number.NaN,
    ]),
  )
}

function compare(comparison: Comparison, other: string, rounds: number): void {
  const others = [measured(other, comparison)]
  const these: Values[] = []
  for (let round = 0; round < rounds; round++) {
    these.push(measured(REPOSITORY, comparison))
    others.push(measured(other, comparison))
  }
  for (const measure of others[0]?.keys() ?? []) {
    const of = (values: Values[]): number[] => values.map((value) => value.get(measure) ?? Number.NaN)
    const [before, after] = [others.slice(0, -1), others.slice(1)]
    const beside = these.map((_, round) => (round % 2 === 0 ? before : after)[round] ?? new Map())
    const changed = spread(pairedRatio(of(these), of(beside)))
    const same = spread(pairedRatio(of(after), of(before)))
    console.log(`| ${comparison.id} | ${measure} | ${changed} | ${same} |`)
  }
}

const spread = ({ median, least, most }: Spread): string =>
  `${median.toFixed(3)} (${least.toFixed(2)}–${most.toFixed(2)})`

function refuse(why: string): never {
  process.stderr.write(`bench: ${why}\n\n${USAGE}\n`)
  process.exit(2)
}

function options() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        only: { type: 'string', multiple: true },
        rounds: { type: 'string', default: '7' },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

const { values, positionals } = options()
if (values.help) {
  console.log(USAGE)
  process.exit(0)
}
const [other] = positionals
if (other === undefined) refuse('name the other tree')
if (!existsSync(`${other}/bench/dist/bench/run.js`))
  refuse(`${other} has no bench/dist: build that tree first`)
const rounds = Number(values.rounds)
if (!Number.isInteger(rounds) || rounds < 1)
  refuse(`--rounds must be a whole number of at least 1, not "${values.rounds}"`)
const known = COMPARISONS.map(({ id }) => id)
const unknown = (values.only ?? []).filter((id) => !known.includes(id))
if (unknown.length > 0) refuse(`unknown comparison ${unknown.join(', ')}; known are: ${known.join(', ')}`)
console.log('| comparison | measure | this : other (least–most) | other : other |\n|---|---|---|---|')
for (const comparison of COMPARISONS)
  if (values.only?.includes(comparison.id) ?? true) compare(comparison, resolve(other), rounds)
