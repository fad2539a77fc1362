import { mkdir, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { requireKnown, wholeNumber, WrongUsage } from '@peerage/test-support/usage.js'
import { SITUATIONS, type Cell, type Situation } from './cells.js'
import { participants, PLATFORMS } from './participants.js'
import { HEADER, row, type CellResult } from './report.js'
import { runCell } from './run-cell.js'
import { startSite, type Site } from './site.js'

const PROGRAMS = ['y-webrtc', 'webtorrent', 'trystero-torrent', 'trystero-relay'] as const
const FAILOVERS: readonly Situation[] = ['Redis failover', 'Redis master killed']
const MEGABYTE = 1_000_000

export const USAGE = `npm run test:clients -- [--only CLIENT,…] [--situations NAME,…] [--failovers N] [--megabytes N]
Unmodified clients of other projects meet over two nodes and one Redis, and over the servers that those projects have, on
every pair of platforms (${PLATFORMS.join(', ')}) and in
every situation. WebTorrent sends a file (50 MB). --failovers says how many pairs of documents of y-webrtc meet while Redis
fails over, half of them while its master is killed (100). It prints a table and writes .work/clients.json.
Clients: ${PROGRAMS.join(', ')}
Situations: ${SITUATIONS.join(', ')}`

/** `npm run test:clients`. Resolves with the exit code: 0, or 1 if a cell failed. */
export async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string' },
      situations: { type: 'string' },
      failovers: { type: 'string', default: '100' },
      megabytes: { type: 'string', default: '50' },
    },
  })
  const programs = choose('client', values.only, PROGRAMS)
  const situations = choose('situation', values.situations, SITUATIONS)
  const failovers = wholeNumber('failovers', values.failovers, 0)
  const megabytes = wholeNumber('megabytes', values.megabytes, 1)
  if (megabytes > 200) throw new WrongUsage(`--megabytes must be at most 200, not "${values.megabytes}"`)
  const cells = programs.flatMap((program) =>
    situations.flatMap((situation) => {
      const times = program === 'y-webrtc' && FAILOVERS.includes(situation) ? failovers / 2 : 1
      return allPairs({ program, situation, bytes: megabytes * MEGABYTE }, Math.ceil(times))
    }),
  )
  console.log(HEADER.join('\n'))
  const results = await runAll(cells)
  await mkdir(`${REPOSITORY}.work`, { recursive: true })
  await writeFile(`${REPOSITORY}.work/clients.json`, `${JSON.stringify(results, undefined, 2)}\n`)
  const failed = results.filter(({ failures }) => failures.length > 0)
  console.log(`\n${results.length - failed.length} of ${results.length} cells without a failure`)
  return failed.length === 0 ? 0 : 1
}

interface Repeated {
  cell: Cell
  times: number
}

/** Each pair of platforms as one cell; `times` are spread over them. Documents take turns with a password and without. */
function allPairs(kind: Pick<Cell, 'program' | 'situation' | 'bytes'>, times: number): Repeated[] {
  const pairs = PLATFORMS.flatMap((first) => PLATFORMS.map((second) => [first, second] as const))
  return pairs.map((platforms, index) => ({
    cell: { ...kind, platforms, ...(index % 2 === 1 && { password: 'secret' }) },
    times: Math.max(1, Math.floor((times + pairs.length - 1 - index) / pairs.length)),
  }))
}

/** Runs the cells one after the other. Those with a failover have a site of their own, because it has sentinels. */
async function runAll(cells: readonly Repeated[]): Promise<CellResult[]> {
  const people = participants()
  const sites = new Map<boolean, Promise<Site>>()
  const siteOf = (situation: Situation): Promise<Site> => {
    const sentinels = FAILOVERS.includes(situation)
    const site = sites.get(sentinels) ?? startSite({ sentinels })
    sites.set(sentinels, site)
    return site
  }
  try {
    const results: CellResult[] = []
    for (const { cell, times } of cells) {
      const site = await siteOf(cell.situation)
      const result: CellResult = { cell, milliseconds: [], failures: [] }
      for (let run = 0; run < times; run++) {
        try {
          result.milliseconds.push(await runCell(cell, { site, people }))
        } catch (error) {
          result.failures.push(String(error))
        }
      }
      results.push(result)
      console.log(row(result))
      for (const failure of result.failures) console.error(`  ${failure}`)
    }
    return results
  } finally {
    await people.stop()
    for (const site of sites.values()) await (await site).stop()
  }
}

function choose<T extends string>(what: string, only: string | undefined, known: readonly T[]): readonly T[] {
  const names = only?.split(',') ?? known
  requireKnown(
    what,
    names.filter((name) => !known.some((one) => one === name)),
    known,
  )
  return known.filter((one) => names.includes(one))
}
