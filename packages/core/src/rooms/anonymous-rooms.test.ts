import type { RoomId } from '@peerage/protocol'
import { parseRoomId } from '@peerage/protocol'
import { expect, test } from 'vitest'
import { memberLimits } from '../limits.js'
import { must } from '../testing/cluster.js'
import { addNode, cutOff, two } from '../testing/nodes.js'
import { comeIn } from '../testing/peers.js'
import { RegistryUnavailable } from '../names/registry.js'

const room = (text: string): RoomId => must(parseRoomId(`default:y-webrtc/${text}`))
const hall = room('hall')

test('a text reaches all members on all nodes once, its sender too, in one order', async () => {
  const { a, b, clock } = await two()
  const [alice, bob, carol] = [comeIn(a), comeIn(a), comeIn(b)]
  for (const [node, one] of [
    [a, alice],
    [a, bob],
    [b, carol],
  ] as const)
    expect(await node.anonymousRooms.join(one.session, hall)).toBe('joined')
  await clock.advance(0)
  const said = await Promise.all([
    a.anonymousRooms.say(alice.session, hall, 'one'),
    b.anonymousRooms.say(carol.session, hall, 'two'),
  ])
  await clock.advance(0)
  expect(said).toEqual(['sent', 'sent'])
  for (const { connection } of [alice, bob, carol]) expect(connection.published).toEqual(['one 3', 'two 3'])
  expect(bob.connection.sent[0]).toBe(alice.connection.sent[0])
  expect(alice.connection.sent[0]).toMatchObject({ room: hall, to: undefined, sender: alice.connection.id })
  expect(carol.connection.sent[0]).toMatchObject({ sender: undefined })
})

test('the addressee of a text comes with it, whatever its characters', async () => {
  const { a, b, clock } = await two()
  const [alice, carol] = [comeIn(a), comeIn(b)]
  await Promise.all([a.anonymousRooms.join(alice.session, hall), b.anonymousRooms.join(carol.session, hall)])
  for (const to of ['x', ' 7 ', 'ü😀\n', '']) await a.anonymousRooms.say(alice.session, hall, '12 text', to)
  await clock.advance(0)
  expect(carol.connection.sent).toMatchObject(
    ['x', ' 7 ', 'ü😀\n', ''].map((to) => ({ type: 'published', to, text: '12 text' })),
  )
})

test('a sender need not be a member', async () => {
  const { a, b, clock } = await two()
  const [alice, carol] = [comeIn(a), comeIn(b)]
  await b.anonymousRooms.join(carol.session, hall)
  await a.anonymousRooms.say(alice.session, hall, 'hello')
  await clock.advance(0)
  expect(carol.connection.published).toEqual(['hello 1'])
  expect(alice.connection.published).toEqual([])
})

test('a member that has left gets nothing more, and the count falls at the next beat', async () => {
  const { a, b, clock, times } = await two()
  const [alice, bob, carol] = [comeIn(a), comeIn(a), comeIn(b)]
  for (const one of [alice, bob]) await a.anonymousRooms.join(one.session, hall)
  await b.anonymousRooms.join(carol.session, hall)
  await clock.advance(0)
  expect(a.anonymousRooms.part(bob.connection.id, hall)).toBe(true)
  expect(a.anonymousRooms.part(bob.connection.id, hall)).toBe(false)
  await a.end(alice.connection.id, 'dropped')
  expect([a.anonymousRooms.count, a.anonymousRooms.has(alice.connection.id, hall)]).toEqual([0, false])
  expect([a.anonymousRooms.reach(hall), b.anonymousRooms.reach(hall)]).toEqual([0, 3])
  await b.anonymousRooms.say(carol.session, hall, 'before')
  await clock.advance(times.beatMs)
  await b.anonymousRooms.say(carol.session, hall, 'after')
  await clock.advance(0)
  expect(carol.connection.published).toEqual(['before 3', 'after 1'])
  expect([alice, bob].map(({ connection }) => connection.published)).toEqual([[], []])
})

test('a member that joins a room on its node later is counted by the others at the next beat', async () => {
  const { a, b, clock, times } = await two()
  const [alice, bob, carol] = [comeIn(a), comeIn(a), comeIn(b)]
  await a.anonymousRooms.join(alice.session, hall)
  await b.anonymousRooms.join(carol.session, hall)
  await clock.advance(0)
  await a.anonymousRooms.join(bob.session, hall)
  await clock.advance(times.beatMs)
  await b.anonymousRooms.say(carol.session, hall, 'hello')
  await clock.advance(0)
  expect(carol.connection.published).toEqual(['hello 3'])
})

test('the members of a dead node are not counted', async () => {
  const made = await two()
  const { a, b, clock, times } = made
  const [alice, carol] = [comeIn(a), comeIn(b)]
  await a.anonymousRooms.join(alice.session, hall)
  await b.anonymousRooms.join(carol.session, hall)
  await clock.advance(0)
  cutOff(made.cuts, a, true)
  await clock.advance(times.nodeLeaseMs + 2 * times.beatMs)
  await b.anonymousRooms.say(carol.session, hall, 'hello')
  await clock.advance(0)
  expect(carol.connection.published).toEqual(['hello 1'])
})

test('a third node knows the count of a room from its first message on', async () => {
  const made = await two()
  const { a, b, clock } = made
  const [alice, carol] = [comeIn(a), comeIn(b)]
  await a.anonymousRooms.join(alice.session, hall)
  await b.anonymousRooms.join(carol.session, hall)
  const c = await addNode(made)
  const dora = comeIn(c)
  await c.anonymousRooms.join(dora.session, hall)
  await clock.advance(0)
  await c.anonymousRooms.say(dora.session, hall, 'hello')
  await clock.advance(0)
  for (const { connection } of [alice, carol, dora]) expect(connection.published).toEqual(['hello 3'])
})

test('a join that cannot subscribe is rejected, and the connection is in no room', async () => {
  const made = await two()
  const { a } = made
  const alice = comeIn(a)
  cutOff(made.cuts, a, true)
  await expect(a.anonymousRooms.join(alice.session, hall)).rejects.toThrow(RegistryUnavailable)
  expect([a.anonymousRooms.count, a.anonymousRooms.countOf(alice.connection.id)]).toEqual([0, 0])
  cutOff(made.cuts, a, false)
  expect(await a.anonymousRooms.join(alice.session, hall)).toBe('joined')
})

test('a connection may be in so many rooms and no more, and a room that it leaves makes place', async () => {
  const { a } = await two()
  const alice = comeIn(a)
  for (let i = 0; i < memberLimits.anonymousRooms; i++)
    expect(await a.anonymousRooms.join(alice.session, room(`r${i}`))).toBe('joined')
  expect(await a.anonymousRooms.join(alice.session, room('one-more'))).toBe('too-many')
  expect(await a.anonymousRooms.join(alice.session, room('r0'))).toBe('joined')
  a.anonymousRooms.part(alice.connection.id, room('r0'))
  expect(await a.anonymousRooms.join(alice.session, room('one-more'))).toBe('joined')
  expect(a.anonymousRooms.countOf(alice.connection.id)).toBe(memberLimits.anonymousRooms)
})

test('a doubt of the store is told for each connection in a room', async () => {
  const { a, cluster, clock } = await two()
  const [alice, bob] = [comeIn(a), comeIn(a)]
  await a.anonymousRooms.join(alice.session, hall)
  const missed: string[] = []
  a.anonymousRooms.onMissed((connection, id) => missed.push(`${connection} ${id}`))
  cluster.flush()
  await clock.advance(0)
  expect(missed).toEqual([`${alice.connection.id} ${hall}`])
  expect(bob.connection.closed).toBeUndefined()
})
