/** `npm run bench`: runs every comparison side by side, prints a table and writes a JSON file. */
import { parseArgs } from 'node:util'
import { COMPARISONS } from './comparisons/all.js'
import type { Comparison, Settings } from './lib/comparison.js'
import { machineClass, resultsOf, table, versions, writeRun, type Record } from './lib/report.js'
import { redisVersion } from './lib/redis.js'
import { runRounds } from './lib/rounds.js'

const USAGE = `npm run bench -- [options]
  --only ID        run this comparison, or all whose ids begin with ID; may be repeated
  --contender NAME run this contender only; may be repeated. Rows that lack a contender are left out
  --rounds N       rounds of each comparison; by default 1 to 7, as each comparison sets
  --quick          one round with a tenth of the load, to see that everything runs; its figures mean nothing
  --list           list the comparisons`

const { values } = options()

const settings: Settings = {
  quick: values.quick,
  say: (line) => process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`),
}

function options() {
  try {
    return parseArgs({
      options: {
        only: { type: 'string', multiple: true },
        contender: { type: 'string', multiple: true },
        rounds: { type: 'string' },
        quick: { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

function refuse(why: string): never {
  process.stderr.write(`bench: ${why}\n\n${USAGE}\n`)
  process.exit(2)
}

function chosen(): Comparison[] {
  const only = values.only
  const known = COMPARISONS.map(({ id }) => id)
  const unknown = (only ?? []).filter((id) => !known.some((candidate) => candidate.startsWith(id)))
  if (unknown.length > 0) refuse(`unknown comparison ${unknown.join(', ')}; known are: ${known.join(', ')}`)
  const isMeant = (id: string, said: string): boolean =>
    known.includes(said) ? id === said : id.startsWith(said)
  const wanted = COMPARISONS.filter(({ id }) => only?.some((said) => isMeant(id, said)) ?? true)
  const names = values.contender
  if (names === undefined) return wanted
  const compared = new Set(wanted.flatMap(({ contenders }) => contenders.map(({ name }) => name)))
  const stranger = names.find((name) => !compared.has(name))
  if (stranger !== undefined) refuse(`unknown contender ${stranger}; known are: ${[...compared].join('; ')}`)
  return wanted.map((comparison) => ({
    ...comparison,
    contenders: comparison.contenders.filter(({ name }) => names.includes(name)),
  }))
}

async function runOne(comparison: Comparison): Promise<Record> {
  const { id, title, load } = comparison
  const rounds = values.rounds === undefined ? comparison.rounds : Number(values.rounds)
  try {
    const samples = await runRounds(comparison, values.quick ? 1 : rounds, settings)
    return { id, title, load, results: resultsOf(comparison, samples), samples: Object.fromEntries(samples) }
  } catch (error) {
    // A comparison that fails is reported with its reason, and the others still run.
    const failed = error instanceof Error ? error.message : String(error)
    settings.say(`${id} failed: ${failed}`)
    return { id, title, load, results: [], samples: {}, failed }
  }
}

async function main(): Promise<void> {
  if (values.help) {
    console.log(USAGE)
    return
  }
  if (values.rounds !== undefined && !/^[1-9]\d*$/u.test(values.rounds))
    refuse(`--rounds must be a whole number of at least 1, not "${values.rounds}"`)
  const comparisons = chosen()
  if (values.list) {
    for (const { id, title } of comparisons) console.log(`${id.padEnd(24)} ${title}`)
    return
  }
  const records: Record[] = []
  for (const comparison of comparisons) records.push(await runOne(comparison))
  const version = await redisVersion()
  console.log(
    `\n${new Date().toISOString().slice(0, 10)} · ${describe(machineClass())} · ${describe(versions(version))}\n`,
  )
  console.log(table(records.flatMap(({ results }) => results)))
  for (const { id, load, failed } of records)
    console.log(`\n${id}: ${load}${failed === undefined ? '' : `\n  FAILED: ${failed}`}`)
  // A quick run only shows that everything runs, so its figures are not written.
  if (!values.quick) console.log(`\nwritten to ${writeRun(records, version)}`)
  if (records.some(({ failed }) => failed !== undefined)) process.exitCode = 1
}

const describe = (facts: { [what: string]: string | number }): string =>
  Object.entries(facts)
    .map(([name, fact]) => `${name} ${fact}`)
    .join(', ')

await main()
