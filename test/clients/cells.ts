import type { Participant, Participants, Platform, Program } from './participants.js'
import { startEntrance, type Entrance } from './entrance.js'
import { pathOf, urlOf, type Site } from './site.js'

/** What happens to the servers while the clients meet. */
export const SITUATIONS = [
  'one node',
  'two nodes',
  'node killed',
  'node drained',
  'Redis failover',
  'Redis master killed',
] as const
export type Situation = (typeof SITUATIONS)[number]

/** Clients that run in one situation. */
export interface Cell {
  program: Exclude<Program, 'tracker'>
  /** Of the first and of the second participant. */
  platforms: readonly [Platform, Platform]
  situation: Situation
  password?: string
  /** The size of the file, for `webtorrent`. */
  bytes?: number
}

export interface Parts {
  site: Site
  people: Participants
}

/** From the loss of a node on, a client may need its back-off and its next announce. */
const AFTER_LOSS_MS = 45_000
/** How long a throttled transfer takes, so that a node can be lost in its middle. */
const TRANSFER_SECONDS = 2

let rooms = 0

/** Runs one cell with new participants. Resolves with the milliseconds until all had met. Rejects with what was missed. */
export async function runCell(cell: Cell, parts: Parts): Promise<number> {
  const started: Participant[] = []
  const entrances: Entrance[] = []
  const cast: Cast = {
    start: async (platform) => {
      const participant = await parts.people.start(platform, cell.program)
      started.push(participant)
      return participant
    },
    entrance: async (node) => {
      const entrance = await startEntrance(node)
      entrances.push(entrance)
      return entrance
    },
  }
  try {
    return await (cell.program === 'webtorrent' ? transfer : meet)(cell, parts.site, cast)
  } catch (error) {
    const states = await Promise.all(
      started.map((participant) => participant.ask('state', {}, 2_000).catch(String)),
    )
    const what = [...cell.platforms, cell.program, cell.situation].join(', ')
    throw new Error(`${what}: ${String(error)}\n${states.map((state) => JSON.stringify(state)).join('\n')}`, {
      cause: error,
    })
  } finally {
    await Promise.all([...started, ...entrances].map((each) => each.stop()))
  }
}

/** Starts what a cell needs, and ends it after the cell. */
interface Cast {
  start(platform: Platform): Promise<Participant>
  entrance(node: { host: string; port: number }): Promise<Entrance>
}

/** Documents or rooms: each participant says words, and must hear all words of the others. */
async function meet(cell: Cell, site: Site, cast: Cast): Promise<number> {
  const room = `room-${++rooms}-${Math.random().toString(36).slice(2)}`
  const [a, b] = await Promise.all(cell.platforms.map((platform) => cast.start(platform)))
  if (a === undefined || b === undefined) throw new Error('unreachable: two were started')
  const join = async (who: Participant, url: string, word: string): Promise<void> => {
    await who.ask('join', { url, room, ...(cell.password !== undefined && { password: cell.password }) })
    await who.ask('say', { words: [word] })
  }
  const [first, second] = site.nodes.map((node) => urlOf(node, cell.program))
  if (first === undefined || second === undefined) throw new Error('unreachable: a site has two nodes')
  const startedAt = performance.now()
  switch (cell.situation) {
    case 'one node':
    case 'two nodes':
      await join(a, first, 'a')
      await join(b, cell.situation === 'one node' ? first : second, 'b')
      await sameWords([a, b], ['a', 'b'])
      break
    case 'node killed':
    case 'node drained': {
      const lost = await site.another()
      const entrance = await cast.entrance(lost)
      const [c] = await Promise.all([
        cast.start(cell.platforms[1]),
        join(a, `${entrance.url}${pathOf(cell.program)}`, 'a'),
      ])
      await join(b, second, 'b')
      await sameWords([a, b], ['a', 'b'])
      entrance.turnTo(site.nodes[0])
      const gone = cell.situation === 'node killed' ? lost.kill() : lost.terminate()
      await join(c, second, 'c')
      // The channel to b lives on without the node.
      await a.ask('say', { words: ['after'] })
      await sameWords([a, b, c], ['a', 'b', 'c', 'after'], AFTER_LOSS_MS)
      // It is not enough that b passes on what a says: a itself must be found again.
      await Promise.all([a, b, c].map((who) => who.ask('met', { count: 2 }, AFTER_LOSS_MS)))
      await gone
      break
    }
    case 'Redis failover':
    case 'Redis master killed': {
      await join(a, first, 'a')
      const failedOver = site.failover(cell.situation === 'Redis failover' ? 'planned' : 'killed')
      await join(b, second, 'b')
      await sameWords([a, b], ['a', 'b'], AFTER_LOSS_MS)
      const met = performance.now() - startedAt
      await failedOver
      return met
    }
  }
  return performance.now() - startedAt
}

async function sameWords(who: readonly Participant[], words: string[], deadlineMs?: number): Promise<void> {
  const heard = await Promise.all(who.map((one) => one.ask('hear', { words }, deadlineMs)))
  if (new Set(heard).size !== 1)
    throw new Error(`they differ: ${heard.map((text) => JSON.stringify(text)).join(', ')}`)
}

/** A file: the first participant seeds it, the second fetches it, and its hash must be right. */
async function transfer(cell: Cell, site: Site, cast: Cast): Promise<number> {
  const { bytes = 5_000_000, situation } = cell
  const [seeder, fetcher] = await Promise.all(cell.platforms.map((platform) => cast.start(platform)))
  if (seeder === undefined || fetcher === undefined) throw new Error('unreachable: two were started')
  const [first, second] = site.nodes.map((node) => urlOf(node, cell.program))
  const seed = async (bytesPerSecond: number): Promise<{ infoHash: string; sha256: string }> => {
    const made = await seeder.ask('seed', { url: first, bytes, bytesPerSecond })
    // Both sides of this protocol are in this folder.
    return made as { infoHash: string; sha256: string }
  }
  const complete = async (who: Participant, sha256: string): Promise<void> => {
    const got = await who.ask('done', {}, AFTER_LOSS_MS)
    if (got !== sha256) throw new Error(`the hash of the file is ${String(got)}, not ${sha256}`)
  }
  switch (situation) {
    case 'one node':
    case 'two nodes': {
      const { infoHash, sha256 } = await seed(-1)
      const startedAt = performance.now()
      await fetcher.ask('fetch', { url: situation === 'one node' ? first : second, infoHash })
      await complete(fetcher, sha256)
      return performance.now() - startedAt
    }
    case 'node killed':
    case 'node drained': {
      const lost = await site.another()
      const [newcomer, { infoHash, sha256 }] = await Promise.all([
        cast.start(cell.platforms[1]),
        seed(bytes / TRANSFER_SECONDS),
      ])
      const startedAt = performance.now()
      await fetcher.ask('fetch', { url: urlOf(lost, cell.program), infoHash })
      const arrived = await fetcher.ask('progress', { share: 0.1 })
      const gone = situation === 'node killed' ? lost.kill() : lost.terminate()
      if (arrived === 1) throw new Error('the transfer ended before the node')
      await complete(fetcher, sha256)
      // A newcomer at another node finds the seeder, though the swarm also has a member on the lost node.
      await newcomer.ask('fetch', { url: second, infoHash })
      await complete(newcomer, sha256)
      await gone
      return performance.now() - startedAt
    }
    case 'Redis failover':
    case 'Redis master killed': {
      const { infoHash, sha256 } = await seed(-1)
      const startedAt = performance.now()
      const failedOver = site.failover(situation === 'Redis failover' ? 'planned' : 'killed')
      await fetcher.ask('fetch', { url: second, infoHash })
      await complete(fetcher, sha256)
      const arrived = performance.now() - startedAt
      await failedOver
      return arrived
    }
  }
}
