import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Cell } from './cells.js'
import { participants, type Participants } from './participants.js'
import { runCell } from './run-cell.js'
import { startSite, urlOf, type Site } from './site.js'

// A short selection with small files. `npm run test:clients` runs all pairs of platforms with 50 MB.

const CELL_MS = 60_000

const people: Participants = participants()
let site: Site
beforeAll(async () => {
  site = await startSite()
})
afterAll(async () => {
  await people.stop()
  await site?.stop()
})

// Clients in Node wait five seconds for their candidates before each offer and answer, so the cells run side by side.
describe.concurrent('a file by WebTorrent', () => {
  const cells: readonly Cell[] = [
    { program: 'webtorrent', platforms: ['Chromium', 'Chromium'], situation: 'two nodes' },
    { program: 'webtorrent', platforms: ['Node', 'Chromium'], situation: 'two nodes' },
    { program: 'webtorrent', platforms: ['Chromium', 'Node'], situation: 'node drained' },
    { program: 'webtorrent', platforms: ['Node', 'Chromium'], situation: 'node killed' },
  ]
  test.for(cells)(
    '$platforms.0 to $platforms.1: it arrives with its hash, $situation',
    { timeout: CELL_MS },
    async (cell) => {
      expect(await runCell(cell, { site, people })).toBeGreaterThan(0)
    },
  )
})

test(
  'the client of bittorrent-tracker: both nodes count and scrape one swarm',
  { timeout: CELL_MS },
  async () => {
    const [first, second] = site.nodes.map((node) => urlOf(node, 'tracker'))
    const infoHash = randomBytes(20).toString('hex')
    const [a, b] = await Promise.all([people.start('Node', 'tracker'), people.start('Node', 'tracker')])
    const [peerA, peerB] = [randomBytes(20).toString('hex'), randomBytes(20).toString('hex')]
    await a.ask('announce', { url: first, infoHash, peerId: peerA, left: 0 })
    await a.ask('counted', { complete: 1, incomplete: 0 })
    await b.ask('announce', { url: second, infoHash, peerId: peerB, left: 5 })
    await b.ask('counted', { complete: 1, incomplete: 1 })
    await Promise.all([a.ask('connected', { peerIds: [peerB] }), b.ask('connected', { peerIds: [peerA] })])
    for (const url of [first, second])
      expect(await a.ask('scrape', { url, infoHashes: [infoHash] })).toMatchObject({
        complete: 1,
        incomplete: 1,
      })
    await b.ask('complete')
    await b.ask('counted', { complete: 2, incomplete: 0 })
    await b.ask('stop')
    await a.ask('update')
    await a.ask('counted', { complete: 1, incomplete: 0 })
  },
)
