import { expect, test } from 'vitest'
import type { ConnectionId } from '@peerage/protocol'
import { parseApp } from '@peerage/protocol'
import { newNodeId } from '../testing/cluster.js'
import { Pools } from './pools.js'
import { poolNamed } from '../testing/contracts/pools-contract.js'
import { cutOff, two } from '../testing/nodes.js'
import { RecordedConnection } from '../testing/peers.js'
import type { Node } from '../node.js'
import type { AnonymousSession } from '../sessions/sessions.js'

const TTL_MS = 300_000
const pool = poolNamed('swarm')
const once = { marked: false, draw: 0, ttlMs: TTL_MS }

interface Visitor {
  connection: RecordedConnection
  session: AnonymousSession
  handed: () => string[]
}

/** A connection without a name. */
function visitor(node: Node): Visitor {
  const connection = new RecordedConnection(node.sessions.newId(), 'webtorrent')
  node.open(connection)
  const app = parseApp('default')
  if (!app.ok) throw new Error(app.problem)
  const admission = node.admit(connection, app.value)
  if (!admission.ok) throw new Error(admission.code)
  const { session } = admission
  const handed = (): string[] =>
    connection.sent.flatMap((message) => (message.type === 'handed' ? [message.frame] : []))
  return { connection, session, handed }
}

async function drawnBy(node: Node, from: Visitor, id: string, draw = 10): Promise<string[]> {
  const entered = await node.pools.enter(from.session, pool, id, { ...once, draw })
  if (typeof entered === 'string') throw new Error(entered)
  return entered.drawn.map((member) => member.id).toSorted()
}

test('a frame is handed to a drawn member, on this node and on another', async () => {
  const { a, b, clock } = await two()
  const [alice, bob, carol] = [visitor(a), visitor(a), visitor(b)]
  await a.pools.enter(bob.session, pool, 'bob', once)
  await b.pools.enter(carol.session, pool, 'carol', once)
  const entered = await a.pools.enter(alice.session, pool, 'alice', { ...once, draw: 5 })
  if (typeof entered === 'string') throw new Error(entered)
  expect(entered.size).toEqual({ members: 3, marked: 0 })
  for (const member of entered.drawn) a.pools.hand(pool, member, `for ${member.id}`)
  expect(bob.handed()).toEqual(['for bob'])
  await clock.advance(0)
  expect(carol.handed()).toEqual(['for carol'])
  expect(await a.pools.handTo(pool, 'carol', 'again')).toBe(true)
  expect(await a.pools.handTo(pool, 'bob', 'again')).toBe(true)
  expect(await a.pools.handTo(pool, 'dora', 'again')).toBe(false)
  await clock.advance(0)
  expect([bob.handed(), carol.handed()]).toEqual([
    ['for bob', 'again'],
    ['for carol', 'again'],
  ])
})

test('a connection that has ended leaves all its pools', async () => {
  const { a, b, cluster, clock } = await two()
  const [alice, bob] = [visitor(a), visitor(b)]
  for (let i = 0; i < 200; i++) await a.pools.enter(alice.session, poolNamed(`p${i}`), 'alice', once)
  await b.pools.enter(bob.session, pool, 'bob', once)
  await a.pools.enter(alice.session, pool, 'alice', once)
  await a.end(alice.connection.id, 'left')
  await a.pools.settled()
  expect(cluster.size().pools).toBe(1)
  expect(a.pools.count).toBe(0)
  expect(await drawnBy(b, bob, 'bob')).toEqual([])
  await clock.advance(0)
})

test('a frame for a member that has left, or ended, is dropped', async () => {
  const { a, b, clock } = await two()
  const [alice, bob] = [visitor(a), visitor(b)]
  await b.pools.enter(bob.session, pool, 'bob', { ...once, ttlMs: 1_000 })
  const entered = await a.pools.enter(alice.session, pool, 'alice', { ...once, draw: 5 })
  if (typeof entered === 'string') throw new Error(entered)
  const [drawn] = entered.drawn
  if (drawn === undefined) throw new Error('bob was not drawn')
  await clock.advance(1_001)
  a.pools.hand(pool, drawn, 'too late')
  await clock.advance(0)
  await b.pools.enter(bob.session, pool, 'bob', once)
  await b.pools.leave(bob.session, pool, 'bob')
  a.pools.hand(pool, drawn, 'too late')
  await clock.advance(0)
  expect(bob.handed()).toEqual([])
})

test('the newest connection of an id has it, on the same node and on another', async () => {
  const { a, b, clock } = await two()
  const [former, later, last] = [visitor(a), visitor(a), visitor(b)]
  await a.pools.enter(former.session, pool, 'alice', once)
  await a.pools.enter(later.session, pool, 'alice', once)
  await a.end(former.connection.id, 'left')
  await a.pools.settled()
  expect(await b.pools.handTo(pool, 'alice', 'one')).toBe(true)
  await clock.advance(0)
  expect([former.handed(), later.handed()]).toEqual([[], ['one']])
  await b.pools.enter(last.session, pool, 'alice', once)
  await clock.advance(0)
  expect(await a.pools.handTo(pool, 'alice', 'two')).toBe(true)
  expect((await a.pools.leave(later.session, pool, 'alice')).members).toBe(1)
  expect(await a.pools.handTo(pool, 'alice', 'three')).toBe(true)
  await clock.advance(0)
  expect([later.handed(), last.handed()]).toEqual([['one'], ['two', 'three']])
})

test('a connection that takes its id back from another node has it, whatever that node told late', async () => {
  const { a, b, clock } = await two()
  const [here, there] = [visitor(a), visitor(b)]
  await a.pools.enter(here.session, pool, 'alice', once)
  const moving = b.pools.enter(there.session, pool, 'alice', once)
  const back = a.pools.enter(here.session, pool, 'alice', once)
  await Promise.all([moving, back])
  await clock.advance(0)
  expect(a.pools.has(here.connection.id, pool, 'alice')).toBe(true)
  expect(b.pools.has(there.connection.id, pool, 'alice')).toBe(false)
})

test('members of a dead node are not drawn, and soon not counted', async () => {
  const { a, b, clock, cuts, times } = await two()
  const [alice, ...lost] = [visitor(a), visitor(b), visitor(b), visitor(b)]
  for (const [i, one] of lost.entries()) await b.pools.enter(one.session, pool, `lost${i}`, once)
  expect(await drawnBy(a, alice, 'alice')).toEqual(['lost0', 'lost1', 'lost2'])
  cutOff(cuts, b, true)
  await clock.advance(times.nodeLeaseMs + times.beatMs)
  expect(await drawnBy(a, alice, 'alice')).toEqual([])
  await a.pools.settled()
  expect(await a.pools.sizes([pool])).toEqual([{ members: 1, marked: 0 }])
})

test('a member of a dead node is not drawn when the view has forgotten the node', async () => {
  const { a, b, clock, cuts, times } = await two()
  const [alice, lost] = [visitor(a), visitor(b)]
  await b.pools.enter(lost.session, pool, 'lost', once)
  cutOff(cuts, b, true)
  await clock.advance(2 * (times.nodeLeaseMs + times.nameTtlMs + times.graceMs))
  expect(await a.pools.sizes([pool])).toEqual([{ members: 1, marked: 0 }])
  expect(await drawnBy(a, alice, 'alice')).toEqual([])
})

test('after a flush each node writes its memberships back', async () => {
  const { a, b, cluster, clock, times } = await two()
  const [alice, bob] = [visitor(a), visitor(b)]
  await b.pools.enter(bob.session, pool, 'bob', { ...once, marked: true })
  cluster.flush()
  await clock.advance(times.beatMs)
  expect(await drawnBy(a, alice, 'alice')).toEqual(['bob'])
  expect(await a.pools.sizes([pool])).toEqual([{ members: 2, marked: 1 }])
})

test('a mark goes with its member to another node, and is written back from there after a flush', async () => {
  const { a, b, cluster, clock, times } = await two()
  const [here, there, bob] = [visitor(a), visitor(b), visitor(a)]
  await a.pools.enter(here.session, pool, 'alice', { ...once, marked: true })
  await b.pools.enter(there.session, pool, 'alice', once)
  await a.end(here.connection.id, 'left')
  await a.pools.settled()
  cluster.flush()
  await clock.advance(times.beatMs)
  await a.pools.enter(bob.session, pool, 'bob', once)
  expect(await a.pools.sizes([pool])).toEqual([{ members: 2, marked: 1 }])
  // The membership of the socket there ends, and with it the mark.
  await b.end(there.connection.id, 'left')
  await b.pools.settled()
  await a.pools.enter(bob.session, pool, 'alice', once)
  expect(await a.pools.sizes([pool])).toEqual([{ members: 2, marked: 0 }])
})

test('a mark lasts as long as the membership, on the same connection and on another one of the node', async () => {
  const { a, clock } = await two()
  const [one, other] = [visitor(a), visitor(a)]
  const markedAfter = async (from: Visitor): Promise<number | undefined> => {
    const entered = await a.pools.enter(from.session, pool, 'alice', once)
    return typeof entered === 'string' ? undefined : entered.size.marked
  }
  await a.pools.enter(one.session, pool, 'alice', { ...once, marked: true })
  expect(await markedAfter(one)).toBe(1)
  expect(await markedAfter(other)).toBe(1)
  await a.pools.leave(other.session, pool, 'alice')
  expect(await markedAfter(other)).toBe(0)
  await a.pools.enter(other.session, pool, 'alice', { ...once, marked: true })
  await clock.advance(TTL_MS)
  expect(await markedAfter(other)).toBe(0)
})

test('[I7] after a lapse the members are found under the new NodeId', async () => {
  const { a, b, clock, cuts, times } = await two()
  const [alice, bob] = [visitor(a), visitor(b)]
  await b.pools.enter(bob.session, pool, 'bob', once)
  const former = b.id
  cutOff(cuts, b, true)
  await clock.advance(times.nodeLeaseMs + times.beatMs)
  cutOff(cuts, b, false)
  await clock.advance(3 * times.beatMs)
  expect(b.id).not.toBe(former)
  expect(await drawnBy(a, alice, 'alice')).toEqual(['bob'])
  expect(await a.pools.handTo(pool, 'bob', 'hello')).toBe(true)
  await clock.advance(0)
  expect(bob.handed()).toEqual(['hello'])
})

test('[I7] memberships move to a new NodeId, though nothing else was in doubt', async () => {
  const { a, cluster, clock } = await two()
  const [heartbeat, backend] = [{ id: a.id }, cluster.backend()]
  const { nodes, bus } = backend
  const onError = (error: unknown): void => expect.unreachable(String(error))
  const { sessions } = a
  const pools = new Pools({ heartbeat, registry: backend.pools, nodes, bus, sessions, clock, onError })
  await pools.enter(visitor(a).session, pool, 'alice', once)
  heartbeat.id = newNodeId()
  await pools.turn()
  expect((await backend.pools.find(pool, 'alice'))?.node).toBe(heartbeat.id)
})

test('[I16] memberships of a connection that ended in an outage end by themselves', async () => {
  const { a, cluster, clock, errors, times } = await two()
  const alice = visitor(a)
  for (let i = 0; i < 200; i++)
    await a.pools.enter(alice.session, poolNamed(`p${i}`), 'alice', { ...once, ttlMs: 20_000 })
  cluster.setDown(true)
  await a.end(alice.connection.id, 'left')
  await a.pools.settled()
  // It does not try what must fail, too.
  expect(errors.length).toBeLessThanOrEqual(64)
  cluster.setDown(false)
  await clock.advance(times.beatMs)
  expect(cluster.size().pools).toBe(200)
  await clock.advance(20_000 + 2 * times.beatMs)
  expect(cluster.size().pools).toBe(0)
})

test('a member that entered during an outage is in the pool when the registry is back', async () => {
  const { a, b, cluster, clock, times } = await two()
  const [alice, bob] = [visitor(a), visitor(b)]
  cluster.setDown(true)
  await expect(b.pools.enter(bob.session, pool, 'bob', once)).rejects.toThrow('the store is down')
  cluster.setDown(false)
  await clock.advance(times.beatMs)
  expect(await drawnBy(a, alice, 'alice')).toEqual(['bob'])
})

test('a connection that ends before the answer is not in the pool', async () => {
  const { a, b } = await two()
  const [alice, bob] = [visitor(a), visitor(b)]
  const entered = b.pools.enter(bob.session, pool, 'bob', once)
  await b.end(bob.connection.id, 'left')
  expect(await entered).toBe('parted')
  expect(await b.pools.enter(bob.session, pool, 'bob', once)).toBe('parted')
  await b.pools.settled()
  expect(await drawnBy(a, alice, 'alice')).toEqual([])
})

test('a connection may be in a thousand pools, and memberships that have ended do not count', async () => {
  const { a, clock } = await two()
  const alice = visitor(a)
  const enter = (i: number): ReturnType<Node['pools']['enter']> =>
    a.pools.enter(alice.session, poolNamed(`p${i}`), 'alice', { ...once, ttlMs: 10_000 })
  for (let i = 0; i < 1_000; i++) expect(await enter(i)).not.toBe('too-many')
  expect(await enter(1_000)).toBe('too-many')
  expect(await enter(999)).not.toBe('too-many')
  await clock.advance(11_000)
  expect(await enter(1_000)).not.toBe('too-many')
  expect(a.pools.count).toBe(1)
})

test('a connection has eight members in a pool, so that draws find other connections', async () => {
  const { a, b, clock } = await two()
  const [one, other] = [visitor(a), visitor(b)]
  const enter = (i: number): ReturnType<Node['pools']['enter']> =>
    a.pools.enter(one.session, pool, `m${i}`, { ...once, ttlMs: 10_000 })
  for (let i = 0; i < 8; i++) expect(await enter(i)).not.toBe('too-many')
  expect(await enter(8)).toBe('too-many')
  expect(await enter(7)).not.toBe('too-many')
  expect(await a.pools.enter(one.session, poolNamed('q'), 'm8', once)).not.toBe('too-many')
  // A member that has moved to another connection may come back, so it counts.
  await b.pools.enter(other.session, pool, 'm0', once)
  await clock.advance(0)
  expect(await enter(8)).toBe('too-many')
  await a.pools.leave(one.session, pool, 'm7')
  expect(await enter(8)).not.toBe('too-many')
  expect((await a.pools.sizes([pool]))[0]?.members).toBe(8)
  // Memberships that have ended do not count, and are new ones when they come again.
  await clock.advance(11_000)
  for (let i = 10; i < 18; i++) expect(await enter(i)).not.toBe('too-many')
  expect(await enter(1)).toBe('too-many')
})

test('the node forgets memberships that have ended by themselves', async () => {
  const { a, clock, cluster, times } = await two()
  const alice = visitor(a)
  await a.pools.enter(alice.session, pool, 'alice', { ...once, ttlMs: 1_000 })
  const { id }: { id: ConnectionId } = alice.connection
  expect(a.pools.has(id, pool, 'alice')).toBe(true)
  await clock.advance(1_000 + 2 * times.beatMs)
  expect(a.pools.count).toBe(0)
  expect(cluster.size().pools).toBe(0)
})
