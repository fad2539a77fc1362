import type { RoomId } from '@peerage/protocol'
import { parseRoomId } from '@peerage/protocol'
import { expect, test } from 'vitest'
import { defaultMailboxLimits } from '../routing/mailbox.js'
import { MemoryRooms } from '../memory/rooms.js'
import { Store } from '../memory/store.js'
import { RegistryUnavailable } from '../names/registry.js'
import { must } from '../testing/cluster.js'
import { cutOff, cutOf, two } from '../testing/nodes.js'
import { comeIn } from '../testing/peers.js'
import { AnonymousRooms } from './anonymous-rooms.js'
import { encodeCounted } from './channel.js'

const room = (text: string): RoomId => must(parseRoomId(`default:y-webrtc/${text}`))
const hall = room('hall')

/** Rooms of a node whose subscriptions become active when the test says so, or fail. */
async function scene() {
  const { a, clock, times } = await two()
  const inner = new MemoryRooms(new Store(times, clock, defaultMailboxLimits))
  const waiting: { room: RoomId; active: () => void; fail: (error: Error) => void }[] = []
  const errors: unknown[] = []
  const rooms = new AnonymousRooms({
    heartbeat: { id: a.id },
    registry: {
      subscribe: async (id, receive) => {
        await new Promise<void>((active, fail) => waiting.push({ room: id, active, fail }))
        await inner.subscribe(id, receive)
      },
      unsubscribe: (id) => {
        inner.unsubscribe(id)
        for (const one of waiting) if (one.room === id) one.fail(new RegistryUnavailable('cancelled'))
      },
      publish: (...args) => inner.publish(...args),
    },
    sessions: a.sessions,
    nodes: { status: () => ({ state: 'live' }) },
    clock,
    beatMs: times.beatMs,
    onError: (error) => errors.push(error),
  })
  return { a, rooms, waiting, errors, clock }
}

test('a part before the subscription is active: the join is answered with parted', async () => {
  const { a, rooms, waiting } = await scene()
  const { connection, session } = comeIn(a)
  const joined = rooms.join(session, hall)
  expect([rooms.has(connection.id, hall), rooms.part(connection.id, hall)]).toEqual([true, true])
  expect(await joined).toBe('parted')
  expect([rooms.count, waiting.length]).toEqual([0, 1])
})

test('a connection that ends during its join is in no room, and the others get in', async () => {
  const { a, rooms, waiting, errors } = await scene()
  const [alice, bob] = [comeIn(a), comeIn(a)]
  const joins = [rooms.join(alice.session, hall), rooms.join(bob.session, hall)]
  rooms.forget(alice.connection.id)
  waiting[0]?.active()
  expect(await Promise.all(joins)).toEqual(['parted', 'joined'])
  expect([waiting.length, errors]).toEqual([1, []])
})

test('join, part and join at once: the connection is a member once the second subscription is active', async () => {
  const { a, rooms, waiting, clock } = await scene()
  const { connection, session } = comeIn(a)
  const first = rooms.join(session, hall)
  rooms.part(connection.id, hall)
  const second = rooms.join(session, hall)
  await clock.advance(0)
  waiting[1]?.active()
  expect([await first, await second]).toEqual(['parted', 'joined'])
  await rooms.say(session, hall, 'hello')
  await clock.advance(0)
  expect(connection.published).toEqual(['hello 1'])
})

test('two joins of one connection share a subscription and a place', async () => {
  const { a, rooms, waiting } = await scene()
  const { connection, session } = comeIn(a)
  const joins = [rooms.join(session, hall), rooms.join(session, hall)]
  waiting[0]?.active()
  expect(await Promise.all(joins)).toEqual(['joined', 'joined'])
  expect([waiting.length, rooms.countOf(connection.id)]).toEqual([1, 1])
  rooms.part(connection.id, hall)
  expect(rooms.count).toBe(0)
})

test('a subscription that fails rejects all joins that wait for it, and the next join subscribes anew', async () => {
  const { a, rooms, waiting } = await scene()
  const [alice, bob] = [comeIn(a), comeIn(a)]
  const joins = [
    rooms.join(alice.session, hall),
    rooms.join(alice.session, hall),
    rooms.join(bob.session, hall),
  ]
  waiting[0]?.fail(new RegistryUnavailable('not now'))
  const outcomes = await Promise.allSettled(joins)
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  expect([rooms.count, rooms.countOf(alice.connection.id)]).toEqual([0, 0])
  const again = rooms.join(alice.session, hall)
  waiting[1]?.active()
  expect(await again).toBe('joined')
})

test('a node that has half of its rooms lets connections with many rooms open no more, and others still do', async () => {
  const { a } = await two()
  const rooms = a.anonymousRooms
  for (let from = 0; from < 50_000; from += 500) {
    const crowd = comeIn(a)
    const joins = Array.from({ length: 500 }, (_, i) => rooms.join(crowd.session, room(`r${from + i}`)))
    expect(new Set(await Promise.all(joins))).toEqual(new Set(['joined']))
  }
  const { session, connection } = comeIn(a)
  const joins = Array.from({ length: 20 }, (_, i) => rooms.join(session, room(`mine-${i}`)))
  expect((await Promise.all(joins)).filter((one) => one === 'joined')).toHaveLength(16)
  await a.end(connection.id, 'left')
  expect(rooms.count).toBe(50_000)
})

test('[I17] after a doubt, and after a lapse, each member is told that it may have missed a message', async () => {
  const { a, b, cluster, clock, cuts, times } = await two()
  const [alice, carol, dora] = [comeIn(a), comeIn(b), comeIn(a)]
  await a.anonymousRooms.join(alice.session, hall)
  await a.anonymousRooms.join(alice.session, room('other'))
  await b.anonymousRooms.join(carol.session, hall)
  const missed: string[] = []
  for (const node of [a, b])
    node.anonymousRooms.onMissed((connection, id) => missed.push(`${connection} ${id}`))
  cluster.setDown(true)
  await clock.advance(times.beatMs)
  expect(missed).toEqual([])
  cluster.setDown(false)
  await clock.advance(1)
  const one = [`${alice.connection.id} ${hall}`, `${alice.connection.id} ${room('other')}`]
  expect(missed.splice(0)).toEqual([...one, `${carol.connection.id} ${hall}`])
  cutOff(cuts, a, true)
  await clock.advance(times.nodeLeaseMs + 2 * times.beatMs)
  const former = a.id
  cutOff(cuts, a, false)
  await clock.advance(times.beatMs)
  expect(a.id).not.toBe(former)
  expect(missed).toEqual(one)
  expect(dora.connection.closed).toBeUndefined()
})

test('after a doubt, and after a lapse, the counts are right again without a message', async () => {
  const { a, b, cluster, clock, cuts, times } = await two()
  const [alice, carol] = [comeIn(a), comeIn(b)]
  await a.anonymousRooms.join(alice.session, hall)
  await b.anonymousRooms.join(carol.session, hall)
  cluster.flush()
  await clock.advance(times.beatMs)
  await a.anonymousRooms.say(alice.session, hall, 'one')
  cutOff(cuts, a, true)
  await clock.advance(times.nodeLeaseMs + 2 * times.beatMs)
  cutOff(cuts, a, false)
  await clock.advance(2 * times.beatMs)
  await b.anonymousRooms.say(carol.session, hall, 'two')
  await clock.advance(0)
  expect(carol.connection.published).toEqual(['one 2', 'two 2'])
})

test('[I17] a member that reads too slowly for a message is told of it, and one that is closed is not', async () => {
  const { a, clock } = await two()
  const [alice, bob, carol] = [comeIn(a), comeIn(a), comeIn(a)]
  for (const { session } of [alice, bob, carol]) await a.anonymousRooms.join(session, hall)
  const missed: string[] = []
  a.anonymousRooms.onMissed((connection) => missed.push(connection))
  bob.connection.full = true
  carol.connection.close('drain')
  await a.anonymousRooms.say(alice.session, hall, 'hello')
  await clock.advance(0)
  expect(missed).toEqual([bob.connection.id])
})

test('[I17] texts that are sent and do not come back are noticed within four beats, and those that come back are not', async () => {
  const { a, clock, cuts, times } = await two()
  const alice = comeIn(a)
  await a.anonymousRooms.join(alice.session, hall)
  const missed: string[] = []
  a.anonymousRooms.onMissed((connection) => missed.push(connection))
  await a.anonymousRooms.say(alice.session, hall, 'heard')
  await clock.advance(10 * times.beatMs)
  expect(missed).toEqual([])
  const { rooms } = cutOf(cuts, a).backend
  rooms.publish = () => Promise.resolve('sent')
  await a.anonymousRooms.say(alice.session, hall, 'lost')
  await clock.advance(2 * times.beatMs)
  expect(missed).toEqual([])
  await clock.advance(2 * times.beatMs)
  expect(missed).toEqual([alice.connection.id])
  await clock.advance(10 * times.beatMs)
  expect(missed).toHaveLength(1)
})

test('a count that was lost is told again after the next message of its node', async () => {
  const { a, b, clock, cuts, times } = await two()
  const [alice, carol] = [comeIn(a), comeIn(b)]
  await a.anonymousRooms.join(alice.session, hall)
  const { rooms } = cutOf(cuts, b).backend
  const publish = rooms.publish.bind(rooms)
  rooms.publish = () => Promise.resolve('sent')
  await b.anonymousRooms.join(carol.session, hall)
  await clock.advance(0)
  rooms.publish = publish
  await b.anonymousRooms.say(carol.session, hall, 'one')
  await clock.advance(times.beatMs)
  await b.anonymousRooms.say(carol.session, hall, 'two')
  await clock.advance(0)
  expect(carol.connection.published).toEqual(['one 1', 'two 2'])
  expect(alice.connection.published).toEqual(['one 2', 'two 2'])
})

test('a text that is no told text is reported, and the room works on', async () => {
  const { a, b, clock, cuts, errors } = await two()
  const alice = comeIn(a)
  await a.anonymousRooms.join(alice.session, hall)
  const { rooms } = cutOf(cuts, b).backend
  for (const text of ['', 'x', `${b.id}.- +12 alice`, `${b.id}.1 p1`, `${b.id}.1 p1,9,k3J9sQ2x,1,- short`])
    await rooms.publish(hall, text)
  await rooms.publish(hall, encodeCounted(b.id, 3, 'nothing'))
  await a.anonymousRooms.say(alice.session, hall, 'hello')
  await clock.advance(0)
  expect(errors).toHaveLength(5)
  expect(alice.connection.published).toEqual(['hello 4'])
})

test('a node whose room opens and closes again and again does not make the others flood the channel', async () => {
  const { a, b, clock, cuts } = await two()
  const [alice, carol] = [comeIn(a), comeIn(b)]
  await b.anonymousRooms.join(carol.session, hall)
  await clock.advance(0)
  let told = 0
  const { rooms } = cutOf(cuts, b).backend
  const publish = rooms.publish.bind(rooms)
  rooms.publish = async (...args) => {
    told++
    await new Promise((resolve) => setImmediate(resolve))
    return publish(...args)
  }
  for (let i = 0; i < 1_000; i++) {
    await a.anonymousRooms.join(alice.session, hall)
    a.anonymousRooms.part(alice.connection.id, hall)
  }
  expect(told).toBeLessThan(100)
})
