import { AFTER_LOSS_MS, type Cell, type Stage } from './cells.js'
import type { Participant } from './participants.js'
import { urlOf } from './site.js'

/** How long a transfer takes during which a node is lost. */
const SLOW_SECONDS = 2
const BYTES = 5_000_000
const UNLIMITED = -1

interface Seeded {
  infoHash: string
  sha256: string
}

/**
 * The first participant seeds a file, the second fetches it, and its hash must be right. Resolves with the milliseconds
 * that the fetching took.
 */
export async function transfer(cell: Cell, stage: Stage): Promise<number> {
  const { program, platforms, situation, bytes = BYTES } = cell
  const { site } = stage
  const { nodes } = site
  const [first, second] = [urlOf(nodes[0], program), urlOf(nodes[1], program)]
  const [seeder, fetcher] = await Promise.all([stage.start(platforms[0]), stage.start(platforms[1])])
  const seed = async (url: string, bytesPerSecond = UNLIMITED): Promise<Seeded> =>
    // Both sides of this protocol are in this folder.
    (await seeder.ask('seed', { url, bytes, bytesPerSecond })) as Seeded
  const between = async (urlOfSeeder: string, urlOfFetcher: string): Promise<number> => {
    const seeded = await seed(urlOfSeeder)
    const startedAt = performance.now()
    await fetch(fetcher, urlOfFetcher, seeded)
    return performance.now() - startedAt
  }
  switch (situation) {
    case 'reference server': {
      const url = await stage.reference()
      return between(url, url)
    }
    case 'one node':
      return between(first, first)
    case 'two nodes':
    // Two that offer to each other at the same moment drop both connections, with every tracker (webtorrent/webtorrent#401).
    case 'two nodes at once':
      return between(first, second)
    case 'node killed':
    case 'node drained': {
      const lost = await site.another()
      const newcomer = await stage.start(platforms[1])
      const seeded = await seed(first, bytes / SLOW_SECONDS)
      const startedAt = performance.now()
      const fetched = fetch(fetcher, urlOf(lost, program), seeded)
      const arrived = await fetcher.ask('progress', { share: 0.1 }, AFTER_LOSS_MS)
      if (arrived === 1) throw new Error('the transfer ended before the node')
      const gone = situation === 'node killed' ? lost.kill() : lost.terminate()
      await fetched
      // A newcomer finds the seeder, though the swarm also has a member at the lost node.
      await fetch(newcomer, second, seeded)
      await gone
      return performance.now() - startedAt
    }
    case 'Redis failover':
    case 'Redis master killed': {
      const seeded = await seed(first)
      const startedAt = performance.now()
      const failedOver = site.failover(situation === 'Redis failover' ? 'planned' : 'killed')
      await fetch(fetcher, second, seeded)
      const took = performance.now() - startedAt
      await failedOver
      return took
    }
  }
}

async function fetch(who: Participant, url: string, { infoHash, sha256 }: Seeded): Promise<void> {
  await who.ask('fetch', { url, infoHash })
  const arrived = await who.ask('done', {}, AFTER_LOSS_MS)
  if (arrived !== sha256) throw new Error(`the hash of the file is ${String(arrived)}, not ${sha256}`)
}
