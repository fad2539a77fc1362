import { cpus } from 'node:os'
import type { CellResult } from './cell.js'
import { STACKS, type Stack } from './peers.js'

export type Versions = Partial<Record<Stack, string>>

/** In which each line is a cell. */
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

/** docs/stacks.md. */
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
    'Written by `npm run test:stacks -- --write`. Everything else that the run saw is in `.work/stacks.json`. `--only werift,chromium` runs these two, each with each, and `--only werift:chromium` has werift call Chromium. `npm test` runs a few cells.',
    '',
    `Every stack calls every stack over one node. In each cell a channel opens, and each side sends ${megabytes} MB, all given to \`send\` at once. The SHA-256 of what arrives must be the same, and at most 1 MiB and one message may wait in a stream. Then the caller closes the channel and calls again, and the callee closes the second one. The other side must see each close within 2 s, and no channel may open that nobody called for. At the end, each side ends one more channel by \`p2p.close()\`, as a peer does that leaves, and the other side must see that within 2 s too. aiortc does not use our SDK: \`test/stacks/foreign_client.py\` speaks the wire by itself. All others run the SDK, and the browsers put plain addresses into their candidates instead of mDNS names. werift 0.25 asks for Node 22, and ran on the Node below.`,
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
