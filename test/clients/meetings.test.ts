import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Cell, Situation } from './cells.js'
import { participants, type Participants } from './participants.js'
import { runCell } from './run-cell.js'
import { startSite, type Site } from './site.js'

// A short selection. `npm run test:clients` runs all pairs of platforms in all situations, and many failovers.

const people: Participants = participants()
afterAll(() => people.stop())

const CELL_MS = 60_000
const BOTH_LOSSES: readonly Situation[] = ['node killed', 'node drained']

describe('two nodes, one Redis', () => {
  let site: Site
  beforeAll(async () => {
    site = await startSite()
  })
  afterAll(() => site?.stop())
  const cells: readonly Cell[] = [
    { program: 'y-webrtc', platforms: ['Node', 'Chromium'], situation: 'two nodes', password: 'secret' },
    { program: 'y-webrtc', platforms: ['Chromium', 'Node'], situation: 'one node' },
    { program: 'trystero-torrent', platforms: ['Chromium', 'Node'], situation: 'two nodes' },
    {
      program: 'trystero-relay',
      platforms: ['Node', 'Chromium'],
      situation: 'two nodes',
      password: 'secret',
    },
    ...BOTH_LOSSES.map(
      (situation) => ({ program: 'y-webrtc', platforms: ['Node', 'Chromium'], situation }) as const,
    ),
    ...BOTH_LOSSES.map(
      (situation) => ({ program: 'trystero-torrent', platforms: ['Node', 'Node'], situation }) as const,
    ),
    ...BOTH_LOSSES.map(
      (situation) => ({ program: 'trystero-relay', platforms: ['Chromium', 'Node'], situation }) as const,
    ),
  ]
  test.for(cells)(
    '$program, $platforms.0 and $platforms.1: members of a room find each other, $situation',
    { timeout: CELL_MS },
    async (cell) => {
      expect(await runCell(cell, { site, people })).toBeGreaterThan(0)
    },
  )
})

describe('Redis with a replica', () => {
  let site: Site
  beforeAll(async () => {
    site = await startSite({ sentinels: true })
  })
  afterAll(() => site?.stop())

  test(
    'y-webrtc: two documents converge with a failover of Redis in between',
    { timeout: CELL_MS },
    async () => {
      const cell: Cell = { program: 'y-webrtc', platforms: ['Node', 'Node'], situation: 'Redis failover' }
      expect(await runCell(cell, { site, people })).toBeGreaterThan(0)
    },
  )
})
