import { beforeAll, expect, test } from 'vitest'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { run } from '@peerage/test-support/process.js'

const TSC = `${REPOSITORY}node_modules/typescript/bin/tsc`
const RUN = `${REPOSITORY}bench/dist/bench/run.js`
const BUILD_DEADLINE_MS = 180_000
const BENCH_DEADLINE_MS = 240_000
// The bench's own text about its failure comes first.
const TEST_DEADLINE_MS = BENCH_DEADLINE_MS + 20_000

// This is the first step of `npm run bench`.
beforeAll(async () => {
  await run(process.execPath, [TSC, '-b', REPOSITORY], BUILD_DEADLINE_MS)
  await run(
    process.execPath,
    [TSC, '-b', `${REPOSITORY}test/support`, `${REPOSITORY}bench`],
    BUILD_DEADLINE_MS,
  )
}, 2 * BUILD_DEADLINE_MS)

/** Of five contenders of the memory comparison, two show that it works. */
const TWO = [
  '--contender',
  'peerage',
  '--contender',
  'socket.io',
  '--contender',
  'socket.io, classic adapter',
]

const bench = (...args: string[]): Promise<string> =>
  run(process.execPath, [RUN, '--quick', ...args], BENCH_DEADLINE_MS)

test(
  'a comparison runs side by side and prints a row with a ratio and its aim',
  async () => {
    const printed = await bench('--only', 'cross-node-steady')
    const row = printed.split('\n').find((line) => /peerage : socket\.io, classic adapter +\|/.test(line))
    expect(row).toMatch(/\d+ µs .*\d+ µs .*\d+\.\d+× \(\d+\.\d+–\d+\.\d+\).*≤ 0\.65×/)
  },
  TEST_DEADLINE_MS,
)

test(
  'the loads of connects, reconnects and memory find every peer connected',
  async () => {
    const printed = await bench('--only', 'connects', '--only', 'reconnect', '--only', 'memory', ...TWO)
    expect(printed).not.toContain('FAILED')
    expect(printed).toMatch(/connects per second, with claim .*\/s/)
    expect(printed).toMatch(/time until the last of 10000 peers is back .*ms/)
    expect(printed).toMatch(/heap of an idle native peer .* B /)
    expect(printed).toMatch(/Redis memory per registered peer .* B /)
  },
  TEST_DEADLINE_MS,
)

/** Those of the wires of pages that show that all of it works. */
const PAGES = [
  'y-webrtc/bin/server.js',
  'bittorrent-tracker',
  'peerage, one node, with Redis',
  'peerage, two nodes',
  'peerage, y-webrtc, with Redis',
].flatMap((name) => ['--contender', name])

test(
  'every frame of the wires of pages arrives, on one node and across two',
  async () => {
    const ids = [
      'wires-y-webrtc',
      'wires-y-webrtc-clear',
      'wires-tracker',
      'wires-tracker-steady',
      'wires-memory',
    ]
    const printed = await bench(...ids.flatMap((id) => ['--only', id]), ...PAGES)
    expect(printed).not.toContain('FAILED')
    expect(printed).toMatch(/publication to 20 subscribers, busy .*two nodes : y-webrtc.*≤ 1\.6×/)
    expect(printed).toMatch(/announcement with 5 offers, busy .*two nodes : bittorrent-tracker.*≤ 1\.6×/)
    expect(printed).toMatch(/RSS of a y-webrtc socket with one topic, idle .* B .*≤ 0\.8×/)
  },
  TEST_DEADLINE_MS,
)

test('a comparison that does not exist is refused by name', async () => {
  await expect(bench('--only', 'nonsense')).rejects.toThrow(
    'unknown comparison nonsense; known are: cross-node-2',
  )
})
