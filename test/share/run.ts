import { parseArgs } from 'node:util'
import { ensureBuilt } from '@peerage/test-support/node.js'
import { requireKnown, wholeNumber } from '@peerage/test-support/usage.js'
import type { Case, Settings } from './case.js'
import { breaks } from './cases/breaks.js'
import { faults } from './cases/faults.js'
import { memory } from './cases/memory.js'
import { names } from './cases/names.js'
import { pairs } from './cases/pairs.js'
import { terminals } from './cases/terminals.js'

export const CASES: readonly Case[] = [...pairs, ...terminals, ...breaks, ...names, ...faults, ...memory]

export const USAGE = `npm run test:share -- [--only ID,…] [--megabytes N] [--breaks N] [--sparse-megabytes N] [--seed N]
Files by a link between real browsers and terminals, through HAProxy and two nodes. Each case has its own nodes and
browsers. It prints a table, and exits with 1 if a case fails. --only chooses cases by the start of their ids.
Cases:
${CASES.map(({ id, title }) => `  ${id}  (${title})`).join('\n')}`

/** `npm run test:share`. Resolves with the exit code. */
export async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string' },
      megabytes: { type: 'string', default: '200' },
      breaks: { type: 'string', default: '20' },
      'sparse-megabytes': { type: 'string', default: '4096' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    },
  })
  const settings: Settings = {
    megabytes: wholeNumber('megabytes', values.megabytes, 1),
    breaks: wholeNumber('breaks', values.breaks, 1),
    sparseMegabytes: wholeNumber('sparse-megabytes', values['sparse-megabytes'], 1),
    seed: wholeNumber('seed', values.seed, 0),
  }
  const cases = select(values.only)
  await ensureBuilt()
  console.log(`seed ${settings.seed}\n\n| case | seconds | measured | verdict |\n|---|---|---|---|`)
  let failed = 0
  for (const one of cases) {
    const startedAt = performance.now()
    const outcome = await one.run(settings).then(
      (measured) => ({ measured, failure: undefined }),
      (error: unknown) => ({ measured: '', failure: error instanceof Error ? error.message : String(error) }),
    )
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
    const { measured, failure } = outcome
    console.log(`| ${one.id} | ${seconds} | ${measured} | ${failure === undefined ? '✓' : '✗'} |`)
    if (failure === undefined) continue
    failed++
    console.error(failure.replaceAll(/^/gm, '    '))
  }
  console.log(`\n${cases.length - failed} of ${cases.length} cases without a failure`)
  return failed === 0 ? 0 : 1
}

/** @throws WrongUsage if no id starts so */
export function select(only: string | undefined): readonly Case[] {
  if (only === undefined) return CASES
  const starts = only.split(',')
  const fits = (start: string, { id }: Case): boolean => id === start || id.startsWith(`${start}:`)
  requireKnown(
    'case',
    starts.filter((start) => !CASES.some((one) => fits(start, one))),
    CASES.map(({ id }) => id),
  )
  return CASES.filter((one) => starts.some((start) => fits(start, one)))
}
