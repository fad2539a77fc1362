import { expect, test } from 'vitest'
import type { CellResult } from './cell.js'
import { STACKS } from './peers.js'
import { document } from './report.js'
import { ALL, runMatrix, select, type Pairing } from './run.js'

// A short selection with fewer bytes; `npm run test:stacks` runs all 36 cells. Each cell here has failed once.
const SELECTION: readonly Pairing[] = [
  // aiortc accepts only offers that are actpass.
  { caller: 'node-datachannel', callee: 'aiortc' },
  { caller: 'node-datachannel', callee: 'werift' },
  // @roamhq/wrtc never fires bufferedamountlow.
  { caller: '@roamhq/wrtc', callee: 'node-datachannel' },
  // Chromium missed closes of node-datachannel.
  { caller: 'chromium', callee: 'node-datachannel' },
]
/** Several times the limit of a stream. */
const BYTES = 4 * 2 ** 20

test('[PP6] [PP18] [PP19] stacks call each other: bytes arrive whole, a full stream waits, closes are seen within 2 s', async () => {
  const { results, versions } = await runMatrix({ cells: SELECTION, bytes: BYTES })
  expect(results.flatMap(({ failures }) => failures)).toEqual([])
  expect(results.map(({ caller, callee }) => ({ caller, callee }))).toEqual(SELECTION)
  expect(Object.values(versions)).not.toContain('undefined')
}, 180_000)

test('every stack calls every stack, and some can be chosen', () => {
  expect(new Set(ALL.map(({ caller, callee }) => `${caller}:${callee}`)).size).toBe(STACKS.length ** 2)
  expect(select(undefined)).toEqual(ALL)
  expect(select('werift,aiortc')).toHaveLength(4)
  expect(select('werift:aiortc,chromium:firefox')).toEqual([
    { caller: 'werift', callee: 'aiortc' },
    { caller: 'chromium', callee: 'firefox' },
  ])
  expect(() => select('werift,safari')).toThrow('safari')
})

test('the table has each cell once, and names the step that failed', () => {
  const good: CellResult = {
    caller: 'werift',
    callee: 'aiortc',
    openMs: [12.4, 9.6],
    slow: [],
    callerRate: 7.25,
    calleeRate: 8,
    mostBuffered: 1_065_000,
    seenMs: { 'caller close': 1, 'callee close': 2, 'caller hangUp': 3, 'callee hangUp': 4 },
    closeMs: [],
    failures: [],
  }
  const bad: CellResult = {
    ...good,
    callee: 'firefox',
    failures: [{ step: 'callee sends', error: 'it | stopped\nhere', states: [] }],
  }
  const text = document({ results: [good, bad], versions: { werift: '0.25.2' } }, 10)
  expect(text).toContain('| werift → aiortc | 12, 10 | 7.3, 8.0 | 1040 | 1, 2 | 3, 4 | ✓ |')
  expect(text).toContain('| callee sends: it / stopped |')
  expect(text).toContain('| werift |  |  |  | ✓ |  | callee sends |')
  expect(text).toContain('**1 of 2**')
})
