import { cpus } from 'node:os'
import type { CellResult } from './cell.js'
import { STACKS, type Stack } from './peers.js'

export type Versions = Partial<Record<Stack, string>>

/** The head of a table in which each line is a cell. */
export const HEADER = [
  '| caller → callee | time to open, first and second call (ms) | rate of the caller and the callee (MB/s) | most that waited (KiB) | time until the close of the caller and the callee is seen (ms) | the same for `p2p.close()` (ms) | verdict |',
  '|---|---|---|---|---|---|---|',
]

export function row(result: CellResult): string {
  const { caller, callee, openMs, callerRate, calleeRate, mostBuffered, seenMs, failures } = result
  return `| ${[
    `${caller} → ${callee}`,
    openMs.length === 0 ? '–' : openMs.slice(0, 2).map(Math.round).join(', '),
    [callerRate, calleeRate].map((rate) => rate?.toFixed(1) ?? '–').join(', '),
    (mostBuffered / 1024).toFixed(0),
    [seenMs['caller close'], seenMs['callee close']].map((ms) => ms ?? '–').join(', '),
    [seenMs['caller hangUp'], seenMs['callee hangUp']].map((ms) => ms ?? '–').join(', '),
    failures.length === 0 ? '✓' : failures.map(brief).join('; '),
  ].join(' | ')} |`
}

const brief = ({ step, error }: CellResult['failures'][number]): string =>
  `${step}: ${(error.split('\n')[0] ?? '').replaceAll('|', '/').slice(0, 120)}`

/** The text of docs/stacks.md. */
export function document(
  { results, versions }: { results: readonly CellResult[]; versions: Versions },
  megabytes: number,
): string {
  const good = results.filter(({ failures }) => failures.length === 0).length
  const mark = (caller: Stack, callee: Stack): string => {
    const tries = results.filter((result) => result.caller === caller && result.callee === callee)
    const failed = new Set(tries.flatMap(({ failures }) => failures.map(({ step }) => step)))
    if (tries.length === 0) return ''
    return failed.size === 0 ? '✓' : [...failed].join(', ')
  }
  const lines = [
    '# WebRTC stacks',
    '',
    "A WebRTC stack is an implementation of WebRTC: a browser's, or a package for Node or Python. `npm run test:stacks -- --write` writes this page, and writes all other results to `.work/stacks.json`. `--only werift,chromium` tests these two stacks with each other and with themselves, and `--only werift:chromium` lets werift call Chromium. `npm test` runs a few cells of the table.",
    '',
    'Every stack calls every stack through one node. In each cell the test does this:',
    '',
    `1. A channel opens, and each side passes ${megabytes} MB to \`send\` at once. The SHA-256 of the received bytes must be right, and at most 1 MiB and one message may wait in a stream.`,
    '2. The caller closes the channel and calls again, and the callee closes the second channel. The other side must see each close within 2 s, and no further channel may open.',
    '3. Each side ends one more channel by `p2p.close()`, as a leaving peer does. The other side must see that within 2 s, too.',
    '',
    'aiortc does not use our SDK: `test/stacks/foreign_client.py` implements the protocol itself. All other stacks run the SDK. The browsers put plain addresses instead of mDNS names into their candidates. werift 0.25 requires Node 22, but ran on the version below.',
    '',
    `Run ${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, ${cpus().length} cores (so times are upper bounds): ${STACKS.map((stack) => `${stack} ${versions[stack] ?? '?'}`).join(', ')}. **${good} of ${results.length}** cells without a failure.`,
    '',
    `| caller ↓, callee → | ${STACKS.join(' | ')} |`,
    `|---|${STACKS.map(() => '---|').join('')}`,
    ...STACKS.map((caller) => `| ${caller} | ${STACKS.map((callee) => mark(caller, callee)).join(' | ')} |`),
    '',
    ...HEADER,
    ...results.map(row),
    '',
  ]
  return lines.join('\n')
}
