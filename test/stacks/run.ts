import { mkdir, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { REPOSITORY, startNode } from '@peerage/test-support/node.js'
import { requireKnown, wholeNumber, WrongUsage } from '@peerage/test-support/usage.js'
import { runCell, type CellResult } from './cell.js'
import { prepare, STACKS, type Platform, type Stack } from './peers.js'
import { document, HEADER, row, type Versions } from './report.js'

export interface Pairing {
  caller: Stack
  callee: Stack
}

export interface MatrixOptions {
  cells: readonly Pairing[]
  /** The bytes that each side sends. */
  bytes: number
  /** How often each cell runs, because some faults are rare; once if absent. */
  times?: number
  done?: (result: CellResult) => void
}

export interface Matrix {
  results: CellResult[]
  versions: Versions
}

const MEGABYTE = 2 ** 20

export const ALL: readonly Pairing[] = STACKS.flatMap((caller) =>
  STACKS.map((callee) => ({ caller, callee })),
)

/** Starts one node with an embedded registry and runs the cells one after the other, each with two new peers. */
export async function runMatrix({ cells, bytes, times = 1, done }: MatrixOptions): Promise<Matrix> {
  const platforms = new Map<Stack, Platform>()
  const versions: Versions = {}
  const node = await startNode()
  try {
    for (const stack of new Set(cells.flatMap(({ caller, callee }) => [caller, callee]))) {
      const platform = await prepare(stack)
      platforms.set(stack, platform)
      const peer = await platform.peer()
      versions[stack] = peer.version
      await peer.stop()
    }
    const results: CellResult[] = []
    for (const stacks of cells.flatMap((cell) => Array.from({ length: times }, () => cell))) {
      const [caller, callee] = [platforms.get(stacks.caller), platforms.get(stacks.callee)]
      if (!caller || !callee) throw new Error('unreachable: every stack was prepared')
      const result = await runCell(stacks, { caller, callee }, { url: node.url, bytes })
      results.push(result)
      done?.(result)
    }
    return { results, versions }
  } finally {
    await Promise.all([...platforms.values()].map((platform) => platform.stop()))
    await node.stop()
  }
}

/**
 * `werift,chromium` selects these two, each with each; `werift:chromium` selects werift calling Chromium.
 * @throws WrongUsage for an unknown stack
 */
export function select(only: string | undefined): readonly Pairing[] {
  if (only === undefined) return ALL
  const names = only.split(',')
  const known = new Set<string>(STACKS)
  const unknown = names.flatMap((name) => name.split(':')).filter((name) => !known.has(name))
  requireKnown('stack', unknown, STACKS)
  return ALL.filter(
    ({ caller, callee }) =>
      names.includes(`${caller}:${callee}`) || (names.includes(caller) && names.includes(callee)),
  )
}

export const USAGE = `npm run test:stacks -- [--only STACK,… or CALLER:CALLEE,…] [--megabytes N] [--times N] [--write]
Peers of every WebRTC stack call each other over one node. In each cell a channel opens, each side sends some megabytes
(10), each side closes a channel, and the other side must see the close. It prints a table and writes .work/stacks.json.
--write also writes docs/stacks.md. --times runs each cell several times, to find rare failures.
Stacks: ${STACKS.join(', ')}`

/** `npm run test:stacks`. Resolves with the exit code: 0, or 1 if a cell failed. */
export async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string' },
      megabytes: { type: 'string', default: '10' },
      times: { type: 'string', default: '1' },
      write: { type: 'boolean', default: false },
    },
  })
  const cells = select(values.only)
  const megabytes = Number(values.megabytes)
  if (!(megabytes > 0 && megabytes <= 100))
    throw new WrongUsage(`--megabytes must be a number up to 100, not "${values.megabytes}"`)
  const times = wholeNumber('times', values.times, 1)
  if (values.write && values.only !== undefined)
    throw new WrongUsage('--write needs all stacks, so it cannot be combined with --only')
  console.log(HEADER.join('\n'))
  const matrix = await runMatrix({
    cells,
    bytes: Math.ceil(megabytes * MEGABYTE),
    times,
    done: (result) => {
      console.log(row(result))
      for (const { step, error, states } of result.failures)
        console.error([`  ${step}: ${error}`, ...states.map((line) => `    ${line}`)].join('\n'))
    },
  })
  await mkdir(`${REPOSITORY}.work`, { recursive: true })
  await writeFile(`${REPOSITORY}.work/stacks.json`, `${JSON.stringify(matrix, undefined, 2)}\n`)
  if (values.write) {
    await mkdir(`${REPOSITORY}docs`, { recursive: true })
    await writeFile(`${REPOSITORY}docs/stacks.md`, document(matrix, megabytes))
  }
  const good = matrix.results.filter(({ failures }) => failures.length === 0).length
  console.log(`\n${good} of ${matrix.results.length} cells without a failure`)
  return good === matrix.results.length ? 0 : 1
}
