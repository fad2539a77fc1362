import { setTimeout as delay } from 'node:timers/promises'
import type { AnonymousSession } from '@peerage/core'
import { Node, RegistryUnavailable, systemClock } from '@peerage/core'
import type { RoomId } from '@peerage/protocol'
import { parseApp, parseRoomId } from '@peerage/protocol'
import { createRedisBackend } from '@peerage/redis'
import { RecordedConnection, comeIn, must } from '@peerage/test-support/testing/core.js'
import { afterEach, describe, expect, test } from 'vitest'
import type { Deployment } from '@peerage/test-support/redis-topologies.js'
import { topologies } from '@peerage/test-support/redis-topologies.js'
import { startRedisCluster } from '@peerage/test-support/redis-cluster.js'
import { startSentinel } from '@peerage/test-support/redis-sentinel.js'
import { eventually, rigTimes, useTopology } from './redis-rig.js'

const APP = must(parseApp('default'))
const room = (text: string): RoomId => must(parseRoomId(`default:y-webrtc/${text}`))

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function twoNodes(url: string): Promise<[Node, Node]> {
  const start = async (): Promise<Node> => {
    const onError = (): void => {}
    const node = new Node({
      backend: createRedisBackend({ url, times: rigTimes, clock: systemClock, onError }),
      times: rigTimes,
      clock: systemClock,
      claimMs: 10_000,
      mailboxMs: 5_000,
      onError,
      onEvent: () => {},
    })
    await node.start()
    cleanups.push(() => node.stop())
    await eventually('the node is ready', () => node.readiness().ready)
    return node
  }
  return [await start(), await start()]
}

/**
 * A peer of a wire whose peers announce themselves once for each connection, as in y-webrtc. When its node says that it may
 * have missed something, it begins anew.
 */
class Announcer {
  readonly #node: Node
  readonly #room: RoomId
  readonly #name: string
  /** How often it has begun. */
  #begun = 0
  #connection: RecordedConnection | undefined

  constructor(node: Node, id: RoomId, name: string) {
    this.#node = node
    this.#room = id
    this.#name = name
    node.anonymousRooms.onMissed((connection) => {
      if (connection === this.#connection?.id) void this.begin()
    })
  }

  get announcement(): string {
    return `${this.#name} ${this.#begun}`
  }

  hasHeard(other: Announcer): boolean {
    return (this.#connection?.sent ?? []).some(
      (message) => message.type === 'published' && message.text === other.announcement,
    )
  }

  async begin(): Promise<void> {
    await this.end()
    this.#begun++
    const connection = new RecordedConnection(this.#node.sessions.newId(), 'y-webrtc')
    this.#connection = connection
    this.#node.open(connection)
    const admission = this.#node.admit(connection, APP)
    const isIn = admission.ok && (await this.#announce(admission.session))
    if (isIn || this.#connection !== connection) return
    await delay(20)
    if (this.#connection === connection) await this.begin()
  }

  async #announce(session: AnonymousSession): Promise<boolean> {
    try {
      if ((await this.#node.anonymousRooms.join(session, this.#room)) !== 'joined') return false
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) throw error
      return false
    }
    return (await this.#node.anonymousRooms.say(session, this.#room, this.announcement)) === 'sent'
  }

  async end(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    if (connection) await this.#node.end(connection.id, 'left')
  }
}

let serial = 0
/** About as long as a failover takes. */
const FAILOVER_MS = 3_000

/**
 * Pairs of peers on two nodes begin within `overMs`, in which `fault` happens. Each pair must meet: one has heard the
 * other's announcement.
 */
async function meetDuring(nodes: [Node, Node], fault: () => Promise<unknown>, overMs = 300): Promise<void> {
  const failing = delay(Math.random() * 50).then(fault)
  const made = Array.from({ length: overMs / 30 }, () => {
    const id = room(`r${serial++}`)
    return [new Announcer(nodes[0], id, 'a'), new Announcer(nodes[1], id, 'b')] as const
  })
  await Promise.all(
    made.flat().map(async (one) => {
      await delay(Math.random() * overMs)
      await one.begin()
    }),
  )
  await failing
  // All at once: a pair that has met may have to begin anew.
  await eventually('all pairs have met', () => made.every(([a, b]) => a.hasHeard(b) || b.hasHeard(a)), 30_000)
  await Promise.all(made.flat().map((one) => one.end()))
}

describe.each(topologies)('rooms of connections without names, %s', (topology) => {
  const bench = useTopology(topology, { silenceMs: 60_000 })

  test('a text reaches all members on both nodes in one order, its sender too, with their number', async () => {
    const [a, b] = await twoNodes(bench.redis.url)
    const hall = room('hall')
    const members = [comeIn(a), comeIn(a), comeIn(b)]
    for (const [i, { session }] of members.entries()) await (i < 2 ? a : b).anonymousRooms.join(session, hall)
    await delay(rigTimes.beatMs)
    const said = await Promise.all(
      Array.from({ length: 100 }, (_, i) => {
        const member = members[i % 3]
        if (member === undefined) throw new Error('there are three members')
        return (i % 3 < 2 ? a : b).anonymousRooms.say(
          member.session,
          hall,
          `${i}`,
          i === 0 ? 'ü 😀' : undefined,
        )
      }),
    )
    expect(new Set(said)).toEqual(new Set(['sent']))
    await expect
      .poll(() => members.map(({ connection }) => connection.published.length))
      .toEqual([100, 100, 100])
    const [first, second, third] = members.map(({ connection }) => connection.published)
    expect(second).toEqual(first)
    expect(third).toEqual(first)
    expect(first?.every((text) => text.endsWith(' 3'))).toBe(true)
    expect(members[2]?.connection.sent).toContainEqual(expect.objectContaining({ text: '0', to: 'ü 😀' }))
    await a.end(members[0]?.connection.id ?? expect.unreachable(), 'dropped')
    // The other node hears the new number with a beat.
    await expect
      .poll(
        async () => {
          await b.anonymousRooms.say(members[2]?.session ?? expect.unreachable(), hall, 'last')
          return members[2]?.connection.published.at(-1)
        },
        { timeout: 20_000, interval: rigTimes.beatMs },
      )
      .toBe('last 2')
  })

  test('2,000 rooms that open at once on both nodes work, and each node knows the count of each', async () => {
    const [a, b] = await twoNodes(bench.redis.url)
    const rooms = Array.from({ length: 2_000 }, (_, i) => room(`many-${i}`))
    const crowd = await Promise.all(
      [a, b].flatMap((node) =>
        Array.from({ length: 5 }, async (_, i) => {
          const one = comeIn(node)
          const mine = rooms.slice(i * 400, (i + 1) * 400)
          for (const id of mine) await node.anonymousRooms.join(one.session, id)
          return { node, mine, ...one }
        }),
      ),
    )
    await delay(2 * rigTimes.beatMs)
    for (const { node, mine, session } of crowd)
      for (const id of mine) expect(await node.anonymousRooms.say(session, id, 'x')).toBe('sent')
    for (const { connection } of crowd)
      await expect.poll(() => connection.published.filter((text) => text === 'x 2').length).toBe(800)
  })

  test('[I17] peers that announce themselves once meet, whatever Redis drops meanwhile', async () => {
    const nodes = await twoNodes(bench.redis.url)
    const { redis } = bench
    for (const fault of faultsOf(redis)) for (let i = 0; i < 5; i++) await meetDuring(nodes, fault)
  })
})

function faultsOf(redis: Deployment): (() => Promise<unknown>)[] {
  return [
    () => redis.everywhere('CLIENT', 'KILL', 'TYPE', 'pubsub'),
    () => redis.everywhere('CLIENT', 'KILL', 'TYPE', 'normal').catch(() => undefined),
    () => redis.flush(),
    async () => {
      await redis.pause()
      await delay(1_000)
      await redis.resume()
    },
  ]
}

test('[I17] [F8] peers that announce themselves once meet, though a Sentinel failover comes in between', async () => {
  const setup = await startSentinel()
  cleanups.push(() => setup.stop())
  const nodes = await twoNodes(setup.url)
  for (let i = 0; i < 2; i++) await meetDuring(nodes, () => setup.failover(), FAILOVER_MS)
  await meetDuring(nodes, async () => setup.masterAfter(await setup.killMaster()), FAILOVER_MS)
})

/** Members of 50 rooms on two nodes say numbered texts, 10 each, within `overMs`, in which `fault` happens. */
async function sayDuring([a, b]: [Node, Node], fault: () => Promise<unknown>, overMs: number): Promise<void> {
  const pairs = await Promise.all(
    Array.from({ length: 50 }, async () => {
      const id = room(`r${serial++}`)
      const [one, other] = [comeIn(a), comeIn(b)]
      await Promise.all([a.anonymousRooms.join(one.session, id), b.anonymousRooms.join(other.session, id)])
      return { id, one, other }
    }),
  )
  const failing = delay(overMs / 4).then(fault)
  const said: Promise<unknown>[] = []
  for (let n = 0; n < 10; n++) {
    await delay(Math.random() * 2 * (overMs / 10))
    for (const { id, one, other } of pairs) {
      said.push(a.anonymousRooms.say(one.session, id, `a ${n}`))
      said.push(b.anonymousRooms.say(other.session, id, `b ${n}`))
    }
  }
  await failing
  expect(new Set(await Promise.all(said))).toEqual(new Set(['sent']))
  const members = pairs.flatMap(({ one, other }) => [one.connection, other.connection])
  const texts = ({ sent }: RecordedConnection): string[] =>
    sent.flatMap((message) => (message.type === 'published' ? [message.text] : []))
  const all = ['a', 'b'].flatMap((side) => Array.from({ length: 10 }, (_, n) => `${side} ${n}`))
  await eventually(
    'each has all texts',
    () => members.every((one) => new Set(texts(one)).size === all.length),
    20_000,
  )
  // The last repeats have come by then.
  await delay(1_500)
  for (const one of members) expect(texts(one).toSorted()).toEqual(all)
  await Promise.all(members.map(({ id }) => Promise.all([a.end(id, 'left'), b.end(id, 'left')])))
}

test('[I17] [F8] texts on their way in a Sentinel failover reach each member that stays exactly once', async () => {
  const setup = await startSentinel()
  cleanups.push(() => setup.stop())
  const nodes = await twoNodes(setup.url)
  for (let i = 0; i < 3; i++) await sayDuring(nodes, () => setup.failover(), FAILOVER_MS)
  await sayDuring(nodes, async () => setup.masterAfter(await setup.killMaster()), FAILOVER_MS)
})

test('[I17] [F9] peers that announce themselves once meet, though a failover or a moved slot comes in between', async () => {
  const cluster = await startRedisCluster()
  cleanups.push(() => cluster.stop())
  const nodes = await twoNodes(cluster.url)
  for (let i = 0; i < 3; i++) {
    const next = room(`r${serial}`)
    const slot = await cluster.slot(`pg:{${next}}:room`)
    const owner = await cluster.owner(slot)
    const other = (await cluster.masters()).find(({ id }) => id !== owner.id)
    if (!other) return expect.unreachable()
    await meetDuring(nodes, () => cluster.moveSlot(slot, other))
  }
  for (let i = 0; i < 2; i++) {
    const owner = await cluster.owner(await cluster.slot(`pg:{${room(`r${serial}`)}}:room`))
    await meetDuring(nodes, () => cluster.failover(owner), FAILOVER_MS)
  }
})
