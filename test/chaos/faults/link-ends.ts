import type { LogRecord } from '@peerage/test-support/node.js'
import { metricsOf, noteLinked, readLinks, watchLinks } from '../links.js'
import { RawPeer } from '../raw-peer.js'
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

/** They are sent enough for a link to each other node. */
const LATE_PEERS = 10

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
      // Else nobody is on it where the peers of the former one were quick to find another node: no traffic, and no link.
      for (let i = 0; i < LATE_PEERS; i++)
        await scene.traffic.join(`http://127.0.0.1:${seat.port}`, `late-${scene.random.between(0, 1e9)}`)
      scene.note('another node at the same address', seat.node.id === id ? 0 : 1, { atLeast: 1 })
      scene.note('links to the former one that ended', (await seen()).downs, { atLeast: neighbours.length })
      await noteLinkedAgain(scene)
      noteWarnings(scene, neighbours, 1)
    },
  },
]

/** Later than this, it may be on its way when the time is over. */
const ON_ITS_WAY_MS = 1_000

/**
 * Messages to peers of other nodes that were asked for from then until a second ago, by whoever had reached that peer
 * before: how many there were, and how many are delivered by now.
 */
function crossings({ history, traffic }: Scene, from: number): { asked: number; delivered: number } {
  const nodes = new Map(traffic.actors.map(({ name, node }) => [name, node]))
  const pairs = new Map<string, string>()
  const known = new Set<string>()
  const asked = new Set<string>()
  const counts = { asked: 0, delivered: 0 }
  for (const event of history.events) {
    if (event.type === 'send') {
      const pair = `${event.from} ${event.to}`
      pairs.set(event.id, pair)
      const isInTime = event.at >= from && event.at <= history.now() - ON_ITS_WAY_MS
      if (!isInTime || !known.has(pair) || nodes.get(event.from) === nodes.get(event.to)) continue
      asked.add(event.id)
      counts.asked++
    } else if (event.type === 'settled' && event.outcome === 'delivered') {
      if (event.at < from) known.add(pairs.get(event.id) ?? '')
      if (asked.has(event.id)) counts.delivered++
    }
  }
  return counts
}

/** A peer of one node that sends to a peer of another one, and hears what its node says. */
async function openProbe(
  { traffic }: Scene,
  seat: Seat,
): Promise<{ send: () => void; codes: string[]; end: () => void }> {
  const probe = await RawPeer.open(`http://127.0.0.1:${seat.port}`, `probe-${seat.index}`)
  const codes: string[] = []
  probe.ws.on('message', (data: Buffer) => {
    const code = /^42\["notice",.*"code":"([^"]+)"/.exec(data.toString())?.[1]
    if (code !== undefined) codes.push(code)
  })
  const far = traffic.actors.find(({ node }) => node !== undefined && node !== seat.node.id)
  if (!far) throw new Error(`every peer is on node ${seat.index}`)
  let seq = 0
  const to = {
    to: far.name,
    since: far.peer.since,
    stream: 'A'.repeat(11),
    base: 1,
    kind: 'signal',
    body: '',
  }
  return { send: () => probe.send('send', { ...to, seq: ++seq }), codes, end: () => probe.end() }
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
      const { asked, delivered } = crossings(scene, from)
      const { link, downs } = await seen()
      await heal(scene, 'F28-redis', 'redis', () => redisOf(stage).restart({ empty: true }))
      scene.note('messages by known routes to other nodes, without Redis', asked, { atLeast: 100 })
      scene.note('of them delivered, in per cent', (100 * delivered) / asked, { atLeast: 99 })
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
      const probes = await Promise.all(stage.seats.map((seat) => openProbe(scene, seat)))
      await inject(scene, 'F28-fence', 'redis', () => redisOf(stage).pause())
      const began = history.now()
      await wait(TIMES.nodeLease - TIMES.beat - 2_000)
      const before = crossings(scene, began)
      await until('every node is fenced', 10_000, async () => {
        const read = await Promise.all(stage.seats.map(metricsOf))
        return read.every((metric) => metric('peerage_fenced') === 1)
      })
      scene.note('all fenced after ms', history.now() - began, { atMost: TIMES.nodeLease + 500 })
      const from = history.now()
      for (const { send } of probes) send()
      await wait(4_000)
      const after = crossings(scene, from)
      const { up } = await readLinks(stage.seats)
      await heal(scene, 'F28-fence', 'redis', () => redisOf(stage).resume())
      scene.note('by known routes to other nodes, before the lease ended', before.asked, { atLeast: 100 })
      scene.note('of them delivered, in per cent', (100 * before.delivered) / before.asked, { atLeast: 99 })
      scene.note('links that stood while fenced', up, { atLeast: ends(scene) })
      scene.note('by known routes to other nodes, while fenced', after.asked, { atLeast: 100 })
      scene.note('of them delivered', after.delivered, { atMost: 0 })
      const told = probes.filter(({ codes }) => codes.includes('registry-unavailable'))
      scene.note('nodes that said registry-unavailable', told.length, { atLeast: probes.length })
      for (const { end } of probes) end()
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
