import type { LogRecord } from '@peerage/test-support/node.js'
import { metricsOf, noteLinked, readLinks, watchLinks } from '../links.js'
import { RawPeer } from '../raw-peer.js'
import type { Fault, Context } from '../context.js'
import { TIMES, allOnline, heal, inject, isReady, until, victim, wait } from '../context.js'
import type { Member } from '../testbed.js'
import { linkProxiesOf, redisOf } from '../testbed.js'
import {
  ends,
  disturbLinked,
  healLinks,
  noteLinkedAgain,
  noteSwitched,
  SWITCHED_P99_MS,
  withLinks,
} from './bad-links.js'
import { lose, loseNothing } from './loss.js'

// Faults at the ends of links: a firewall blocks them, another node is at a known address, or there is no Redis.

const isWarning = ({ level, stage }: LogRecord): boolean => level === 'warn' && stage === 'link'

/** Notes the warnings: links that fail cause one warning, until a link works again. */
function noteWarnings(context: Context, members: readonly Member[], most: number): void {
  for (const { index, node } of members)
    context.note(`warnings of links by node ${index}`, node.logs().filter(isWarning).length, { atMost: most })
}

/** A fault in which no node can open a link, from its start on. */
async function stayBlocked(context: Context, id: string, what: string): Promise<void> {
  const { testbed } = context
  await inject(context, id, what, () => wait(10_000))
  const { ups, link, inbox, failures } = await readLinks(testbed.members)
  context.note('links opened meanwhile', ups + link, { atMost: 0 })
  context.note('dials that failed', failures, { atLeast: testbed.members.length })
  context.note('envelopes through the inbox', inbox, { atLeast: 200 })
  for (const { index, node } of testbed.members)
    context.note(`warnings of links by node ${index}`, node.logs().filter(isWarning).length, {
      atLeast: 1,
      atMost: 1,
    })
  await heal(context, id, what, healLinks(context))
  await noteLinkedAgain(context)
}

const firewalls: readonly Fault[] = [
  {
    id: 'F28-mute',
    title: 'a firewall blocks every link: the announced address does not answer',
    testbed: { linkProxies: 'drop' },
    outageP99Ms: 2_000,
    watchMs: 15_000,
    run: (context) => stayBlocked(context, 'F28-mute', 'every link, no answer'),
  },
  {
    id: 'F28-refused',
    title: 'a firewall blocks every link: the announced address refuses connections',
    testbed: { linkProxies: 'refuse' },
    outageP99Ms: 2_000,
    watchMs: 15_000,
    run: (context) => stayBlocked(context, 'F28-refused', 'every link, refused'),
  },
  {
    id: 'F28-firewall',
    title: 'a firewall begins to drop every packet of links, and stops again',
    outageP99Ms: SWITCHED_P99_MS,
    watchMs: 20_000,
    run: async (context) => {
      const counted = await disturbLinked(context, {
        id: 'F28-firewall',
        what: 'every link, all packets',
        ms: 10_000,
        begin: () =>
          lose(
            linkProxiesOf(context.testbed).map(({ port }) => port),
            100,
          ),
        end: loseNothing,
      })
      noteSwitched(context, 'firewall', counted)
      context.note('links opened meanwhile', counted.ups, { atMost: 0 })
      await noteLinkedAgain(context)
    },
  },
]

/** Enough peers that each other node sends to the restarted node often enough to open a link. */
const LATE_PEERS = 10

const others: readonly Fault[] = [
  {
    id: 'F28-restart',
    title: 'a node dies without closing its links, and another node is at its link address',
    outageP99Ms: 5_000,
    watchMs: 25_000,
    run: async (context) => {
      await noteLinked(context, context.testbed.members)
      const { testbed } = context
      const member = victim(context)
      const { id } = member.node
      const neighbours = testbed.members.filter((other) => other !== member)
      const seen = await watchLinks(neighbours)
      await inject(context, 'F28-restart', `node ${member.index}`, async () => {
        // The other nodes do not learn that its links have ended.
        member.linkProxy?.drop()
        await member.node.kill()
        await member.restart()
      })
      await heal(context, 'F28-restart', `node ${member.index}`, () => member.linkProxy?.heal())
      // The node has no peers if those of its predecessor found other nodes quickly, and without traffic there is no link.
      for (let i = 0; i < LATE_PEERS; i++)
        await context.traffic.join(
          `http://127.0.0.1:${member.port}`,
          `late-${context.random.between(0, 1e9)}`,
        )
      context.note('another node at the same address', member.node.id === id ? 0 : 1, { atLeast: 1 })
      context.note('links to the dead node that ended', (await seen()).downs, { atLeast: neighbours.length })
      await noteLinkedAgain(context)
      noteWarnings(context, neighbours, 1)
    },
  },
]

/** A message that was sent later than this before the end may still be in flight. */
const IN_FLIGHT_MS = 1_000

/**
 * Counts messages to peers of other nodes that were sent between `from` and a second ago, by senders that had reached
 * that peer before: how many were sent, and how many are delivered by now.
 */
function crossings({ history, traffic }: Context, from: number): { asked: number; delivered: number } {
  const nodes = new Map(traffic.actors.map(({ name, node }) => [name, node]))
  const pairs = new Map<string, string>()
  const known = new Set<string>()
  const asked = new Set<string>()
  const counts = { asked: 0, delivered: 0 }
  for (const event of history.events) {
    if (event.type === 'send') {
      const pair = `${event.from} ${event.to}`
      pairs.set(event.id, pair)
      const isInTime = event.at >= from && event.at <= history.now() - IN_FLIGHT_MS
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

/** A peer of one node that sends to a peer of another node, and collects the notices of its own node. */
async function openProbe(
  { traffic }: Context,
  member: Member,
): Promise<{ send: () => void; codes: string[]; end: () => void }> {
  const probe = await RawPeer.open(`http://127.0.0.1:${member.port}`, `probe-${member.index}`)
  const codes: string[] = []
  probe.ws.on('message', (data: Buffer) => {
    const code = /^42\["notice",.*"code":"([^"]+)"/.exec(data.toString())?.[1]
    if (code !== undefined) codes.push(code)
  })
  const far = traffic.actors.find(({ node }) => node !== undefined && node !== member.node.id)
  if (!far) throw new Error(`every peer is on node ${member.index}`)
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
    title: 'Redis is gone for half a lease while links work',
    outageP99Ms: 2_000,
    watchMs: 20_000,
    run: async (context) => {
      await noteLinked(context, context.testbed.members)
      const { testbed, history } = context
      const seen = await watchLinks(testbed.members)
      await inject(context, 'F28-redis', 'redis', () => redisOf(testbed).kill())
      const from = history.now()
      await wait(TIMES.nodeLease / 2)
      const { asked, delivered } = crossings(context, from)
      const { link, downs } = await seen()
      await heal(context, 'F28-redis', 'redis', () => redisOf(testbed).restart({ empty: true }))
      context.note('messages over known routes to other nodes, without Redis', asked, { atLeast: 100 })
      context.note('of these delivered, in per cent', (100 * delivered) / asked, { atLeast: 99 })
      context.note('envelopes over links meanwhile', link, { atLeast: 200 })
      context.note('links that ended meanwhile', downs, { atMost: 0 })
      context.note('all names back after ms', await allOnline(context), { atMost: 2_000 })
    },
  },
  {
    id: 'F28-fence',
    title:
      'Redis is gone for longer than a lease while links work: known routes work until the lease ends, and no longer',
    outageP99Ms: 10_000,
    watchMs: 30_000,
    run: async (context) => {
      await noteLinked(context, context.testbed.members)
      const { testbed, history } = context
      const probes = await Promise.all(testbed.members.map((member) => openProbe(context, member)))
      await inject(context, 'F28-fence', 'redis', () => redisOf(testbed).pause())
      const began = history.now()
      await wait(TIMES.nodeLease - TIMES.beat - 2_000)
      const before = crossings(context, began)
      await until('every node is fenced', 10_000, async () => {
        const read = await Promise.all(testbed.members.map(metricsOf))
        return read.every((metric) => metric('peerage_fenced') === 1)
      })
      context.note('all fenced after ms', history.now() - began, { atMost: TIMES.nodeLease + 500 })
      const from = history.now()
      for (const { send } of probes) send()
      await wait(4_000)
      const after = crossings(context, from)
      const { up } = await readLinks(testbed.members)
      await heal(context, 'F28-fence', 'redis', () => redisOf(testbed).resume())
      context.note('over known routes to other nodes, before the lease ended', before.asked, { atLeast: 100 })
      context.note('of these delivered, in per cent', (100 * before.delivered) / before.asked, {
        atLeast: 99,
      })
      context.note('links that stayed up while fenced', up, { atLeast: ends(context) })
      context.note('over known routes to other nodes, while fenced', after.asked, { atLeast: 100 })
      context.note('of these delivered', after.delivered, { atMost: 0 })
      const told = probes.filter(({ codes }) => codes.includes('registry-unavailable'))
      context.note('nodes that reported registry-unavailable', told.length, { atLeast: probes.length })
      for (const { end } of probes) end()
      await until('every node is ready', 20_000, async () => {
        const ready = await Promise.all(testbed.members.map(isReady))
        return ready.every(Boolean)
      })
      context.note('all names back after ms', await allOnline(context), { atMost: 4_000 })
      await noteLinkedAgain(context)
    },
  },
]

export const linkEndFaults = withLinks([...firewalls, ...others, ...stores])
