import type { LogRecord } from '@peerage/test-support/node.js'
import { metricsOf, noteLinked, readLinks, watchLinks } from '../links.js'
import type { Fault, Scene } from '../scene.js'
import { TIMES, allOnline, heal, inject, isReady, until, victim, wait } from '../scene.js'
import type { Seat } from '../stage.js'
import { doorsOf, redisOf } from '../stage.js'
import { ends, goBad, noteLinkedAgain, noteSwitched, SWITCHED_P99_MS } from './bad-links.js'
import { lose, loseNothing } from './loss.js'

// What the ends of links can meet: a firewall that lets none up, another node at a known address, no Redis.

const isWarning = ({ level, stage }: LogRecord): boolean => level === 'warn' && stage === 'link'

/** Links that cannot be made are one warning, until one can be made again. */
function noteWarnings(scene: Scene, seats: readonly Seat[], most: number): void {
  for (const { index, node } of seats)
    scene.note(`warnings of links by node ${index}`, node.logs().filter(isWarning).length, { atMost: most })
}

/** Links that no node can make, from its start on. */
async function stayShut(scene: Scene, id: string, what: string): Promise<void> {
  const { stage } = scene
  const doors = doorsOf(stage)
  await inject(scene, id, what, () => wait(10_000))
  const { ups, link, inbox, failures } = await readLinks(stage.seats)
  scene.note('links made meanwhile', ups + link, { atMost: 0 })
  scene.note('dials that failed', failures, { atLeast: stage.seats.length })
  scene.note('envelopes by the inbox', inbox, { atLeast: 200 })
  for (const { index, node } of stage.seats)
    scene.note(`warnings of links by node ${index}`, node.logs().filter(isWarning).length, {
      atLeast: 1,
      atMost: 1,
    })
  await heal(scene, id, what, () => {
    for (const door of doors) {
      door.accept()
      door.heal()
    }
  })
  await noteLinkedAgain(scene)
}

const firewalls: readonly Fault[] = [
  {
    id: 'F28-mute',
    title: 'a firewall lets no link up: the announced address answers nothing',
    stage: { doors: 'drop' },
    outageP99Ms: 2_000,
    watchMs: 15_000,
    run: (scene) => stayShut(scene, 'F28-mute', 'every door, mute'),
  },
  {
    id: 'F28-refused',
    title: 'a firewall lets no link up: the announced address refuses',
    stage: { doors: 'refuse' },
    outageP99Ms: 2_000,
    watchMs: 15_000,
    run: (scene) => stayShut(scene, 'F28-refused', 'every door, refusing'),
  },
  {
    id: 'F28-firewall',
    title: 'a firewall begins to drop every packet of links, and stops',
    outageP99Ms: SWITCHED_P99_MS,
    watchMs: 20_000,
    run: async (scene) => {
      const counted = await goBad(scene, {
        id: 'F28-firewall',
        what: 'every link, all packets',
        ms: 10_000,
        begin: () =>
          lose(
            doorsOf(scene.stage).map(({ port }) => port),
            100,
          ),
        end: loseNothing,
      })
      noteSwitched(scene, 'firewall', counted)
      scene.note('links made meanwhile', counted.ups, { atMost: 0 })
      await noteLinkedAgain(scene)
    },
  },
]

const others: readonly Fault[] = [
  {
    id: 'F28-restart',
    title: 'a node dies without a word, and another one is at its link address',
    outageP99Ms: 5_000,
    watchMs: 25_000,
    run: async (scene) => {
      await noteLinked(scene)
      const { stage } = scene
      const seat = victim(scene)
      const { id } = seat.node
      const neighbours = stage.seats.filter((other) => other !== seat)
      const seen = await watchLinks(neighbours)
      await inject(scene, 'F28-restart', `node ${seat.index}`, async () => {
        // Nobody hears that its links have ended.
        seat.door?.drop()
        await seat.node.kill()
        await seat.restart()
      })
      await heal(scene, 'F28-restart', `node ${seat.index}`, () => seat.door?.heal())
      scene.note('another node at the same address', seat.node.id === id ? 0 : 1, { atLeast: 1 })
      scene.note('links to the former one that ended', (await seen()).downs, { atLeast: neighbours.length })
      await noteLinkedAgain(scene)
      noteWarnings(scene, neighbours, 1)
    },
  },
]

interface Crossing {
  asked: number
  delivered: number
  unavailable: number
}

/** Of what was sent to a peer of another node within a time: how much there was, and what became of it. */
function crossings(scene: Scene, from: number, untilMs: number): Crossing {
  const nodes = new Map(scene.traffic.actors.map(({ name, node }) => [name, node]))
  const asked = new Set<string>()
  const counts: Crossing = { asked: 0, delivered: 0, unavailable: 0 }
  for (const event of scene.history.events) {
    if (event.at < from || event.at > untilMs) continue
    if (event.type === 'send' && nodes.get(event.from) !== nodes.get(event.to)) {
      asked.add(event.id)
      counts.asked++
    }
    if (event.type !== 'settled' || !asked.has(event.id)) continue
    if (event.outcome === 'delivered') counts.delivered++
    if (event.code === 'registry-unavailable') counts.unavailable++
  }
  return counts
}

const stores: readonly Fault[] = [
  {
    id: 'F28-redis',
    title: 'Redis gone for half a lease while links live',
    outageP99Ms: 2_000,
    watchMs: 20_000,
    run: async (scene) => {
      await noteLinked(scene)
      const { stage, history } = scene
      const seen = await watchLinks(stage.seats)
      await inject(scene, 'F28-redis', 'redis', () => redisOf(stage).kill())
      const from = history.now()
      await wait(TIMES.nodeLease / 2)
      const { asked, delivered } = crossings(scene, from, history.now())
      const { link, downs } = await seen()
      await heal(scene, 'F28-redis', 'redis', () => redisOf(stage).restart({ empty: true }))
      scene.note('messages to other nodes without Redis', asked, { atLeast: 100 })
      scene.note('of them delivered, in per cent', (100 * delivered) / asked, { atLeast: 95 })
      scene.note('envelopes over links meanwhile', link, { atLeast: 200 })
      scene.note('links that ended meanwhile', downs, { atMost: 0 })
      scene.note('all names back after ms', await allOnline(scene), { atMost: 2_000 })
    },
  },
  {
    id: 'F28-fence',
    title:
      'Redis gone for longer than a lease while links live: known routes go on until it ends, and no longer',
    outageP99Ms: 10_000,
    watchMs: 30_000,
    run: async (scene) => {
      await noteLinked(scene)
      const { stage, history } = scene
      await inject(scene, 'F28-fence', 'redis', () => redisOf(stage).pause())
      const began = history.now()
      await wait(TIMES.nodeLease - TIMES.beat - 2_000)
      const before = crossings(scene, began, history.now())
      await until('every node is fenced', 10_000, async () => {
        const fenced = await Promise.all(
          stage.seats.map(async (seat) => (await metricsOf(seat))('peerage_fenced')),
        )
        return fenced.every((one) => one === 1)
      })
      scene.note('all fenced after ms', history.now() - began, { atMost: TIMES.nodeLease + 500 })
      const from = history.now()
      await wait(4_000)
      const after = crossings(scene, from, history.now())
      const { up } = await readLinks(stage.seats)
      await heal(scene, 'F28-fence', 'redis', () => redisOf(stage).resume())
      scene.note('delivered to other nodes before the lease ended', before.delivered, { atLeast: 100 })
      scene.note('links that stood while fenced', up, { atLeast: ends(scene) })
      scene.note('asked of fenced nodes for other nodes', after.asked, { atLeast: 100 })
      scene.note('of them delivered', after.delivered, { atMost: 0 })
      scene.note('of them told registry-unavailable', after.unavailable, { atLeast: 100 })
      await until('every node is ready', 20_000, async () => {
        const ready = await Promise.all(stage.seats.map(isReady))
        return ready.every(Boolean)
      })
      scene.note('all names back after ms', await allOnline(scene), { atMost: 4_000 })
      await noteLinkedAgain(scene)
    },
  },
]

export const linkEndFaults: readonly Fault[] = [...firewalls, ...others, ...stores].map((fault) => ({
  ...fault,
  links: true,
}))
