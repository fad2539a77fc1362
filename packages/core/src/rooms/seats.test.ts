import { expect, test, vi } from 'vitest'
import type { Room } from '@peerage/protocol'
import { parseRoom } from '@peerage/protocol'
import { RegistryUnavailable } from '../names/registry.js'
import type { Node } from '../node.js'
import { cutOf, cutOff, two } from '../testing/nodes.js'
import type { Arrival } from '../testing/peers.js'
import { arrive } from '../testing/peers.js'
import { RENEW_ROUND_BEATS } from '../times.js'

function roomNamed(text: string): Room {
  const room = parseRoom(text)
  if (!room.ok) throw new Error(room.problem)
  return room.value
}

const arena = roomNamed('arena')

/** Takes a seat in a group, joins the room of the group, and confirms the seat. */
async function sit(node: Node, at: Arrival, seats = 2): Promise<Room> {
  const room = await node.rooms.seat(at.session, arena, seats)
  if (room === undefined) throw new Error('the connection has ended')
  expect(await node.rooms.join(at.session, room)).toBe('joined')
  expect(await node.rooms.confirm(at.session)).toBe(true)
  return room
}

const onMatchbox = (node: Node, name: string): Promise<Arrival> => arrive(node, name, { wire: 'matchbox' })

test('peers on different nodes get the room of one group, and the next pair another', async () => {
  const { a, b } = await two()
  const rooms: Room[] = []
  for (const [i, node] of [a, b, b, a].entries()) rooms.push(await sit(node, await onMatchbox(node, `p${i}`)))
  expect(rooms[0]).toBe(rooms[1])
  expect(rooms[2]).toBe(rooms[3])
  expect(rooms[0]).not.toBe(rooms[2])
})

test('a peer that leaves while its group waits gives its seat back', async () => {
  const { a, b } = await two()
  const [ann, bob] = [await onMatchbox(a, 'ann'), await onMatchbox(b, 'bob')]
  const first = await sit(a, ann)
  await a.end(ann.connection.id, 'left')
  expect(await sit(b, bob)).not.toBe(first)
})

test('a peer that left in an outage gives its seat back when the registry is there again', async () => {
  const { a, b, cluster, clock, times } = await two()
  const [ann, bob] = [await onMatchbox(a, 'ann'), await onMatchbox(b, 'bob')]
  const first = await sit(a, ann)
  cluster.setDown(true)
  await a.end(ann.connection.id, 'left')
  cluster.setDown(false)
  await clock.advance(2 * times.beatMs)
  expect(await sit(b, bob)).not.toBe(first)
})

test('a connection that ended before the answer has no seat', async () => {
  const { a, b } = await two()
  const [ann, bob, carl] = [
    await onMatchbox(a, 'ann'),
    await onMatchbox(b, 'bob'),
    await onMatchbox(b, 'carl'),
  ]
  const taking = a.rooms.seat(ann.session, arena, 2)
  await a.end(ann.connection.id, 'left')
  expect(await taking).toBeUndefined()
  expect(await sit(b, bob)).toBe(await sit(b, carl))
})

test('a group stays closed after a flush, though a member left it right after it had met', async () => {
  const { a, b, clock, cluster, times } = await two()
  const [ann, bob] = [await onMatchbox(a, 'ann'), await onMatchbox(b, 'bob')]
  await clock.advance(times.beatMs / 2)
  const room = await sit(a, ann)
  expect(await sit(b, bob)).toBe(room)
  await b.end(bob.connection.id, 'left')
  await clock.advance(times.beatMs)
  cluster.flush()
  await clock.advance(2 * times.beatMs)
  expect(await sit(b, await onMatchbox(b, 'carl'))).not.toBe(room)
  expect(ann.connection.closed).toBeUndefined()
})

test('a peer whose seat was given away while its node counted as dead is closed, and its group stays closed', async () => {
  const { a, b, clock, cuts, times } = await two()
  const [ann, bob] = [await onMatchbox(a, 'ann'), await onMatchbox(b, 'bob')]
  const room = await sit(a, ann, 3)
  expect(await sit(b, bob, 3)).toBe(room)
  await clock.advance(times.beatMs)
  cutOff(cuts, b, true)
  await clock.advance(times.nodeLeaseMs + times.beatMs)
  for (const name of ['carl', 'dora']) expect(await sit(a, await onMatchbox(a, name), 3)).toBe(room)
  cutOff(cuts, b, false)
  await clock.advance(2 * times.beatMs)
  expect(bob.connection.closed).toBe('registry-unavailable')
  expect(ann.connection.closed).toBeUndefined()
  expect((await a.rooms.list(ann.session, room)).members.map(({ name }) => name)).toEqual([
    'ann',
    'carl',
    'dora',
  ])
  expect(await sit(b, await onMatchbox(b, 'emil'), 3)).not.toBe(room)
})

test('a peer of a node that counted as dead keeps its place if nobody has taken it', async () => {
  const { a, b, clock, cuts, times } = await two()
  const [ann, bob] = [await onMatchbox(a, 'ann'), await onMatchbox(b, 'bob')]
  const room = await sit(a, ann, 3)
  await sit(b, bob, 3)
  cutOff(cuts, b, true)
  await clock.advance(times.nodeLeaseMs + times.beatMs)
  expect(await sit(a, await onMatchbox(a, 'carl'), 3)).toBe(room)
  cutOff(cuts, b, false)
  await clock.advance(2 * times.beatMs)
  expect(bob.connection.closed).toBeUndefined()
  expect(await sit(a, await onMatchbox(a, 'dora'), 3)).not.toBe(room)
})

test('a peer that completes a group and goes before it has joined leaves its seat free', async () => {
  const { a, b } = await two()
  const ann = await onMatchbox(a, 'ann')
  const first = await sit(a, ann)
  const bob = await onMatchbox(b, 'bob')
  expect(await b.rooms.seat(bob.session, arena, 2)).toBe(first)
  await b.end(bob.connection.id, 'left')
  expect(await sit(b, await onMatchbox(b, 'carl'))).toBe(first)
  expect(await sit(a, await onMatchbox(a, 'dora'))).not.toBe(first)
})

test('a connection that ended before the answer completes no group', async () => {
  const { a, b } = await two()
  const first = await sit(a, await onMatchbox(a, 'ann'))
  const bob = await onMatchbox(b, 'bob')
  const taking = b.rooms.seat(bob.session, arena, 2)
  await b.end(bob.connection.id, 'left')
  expect(await taking).toBeUndefined()
  expect(await sit(b, await onMatchbox(b, 'carl'))).toBe(first)
})

test('a peer that leaves a group that has met leaves no seat', async () => {
  const { a, b } = await two()
  const [ann, bob] = [await onMatchbox(a, 'ann'), await onMatchbox(b, 'bob')]
  const first = await sit(a, ann)
  expect(await sit(b, bob)).toBe(first)
  await a.end(ann.connection.id, 'left')
  await b.end(bob.connection.id, 'left')
  expect(await sit(b, await onMatchbox(b, 'carl'))).not.toBe(first)
})

test('a node that died between the seat and the join of a peer leaves the seat free', async () => {
  const { a, b, clock, cuts, times } = await two()
  const first = await sit(a, await onMatchbox(a, 'ann'))
  const bob = await onMatchbox(b, 'bob')
  expect(await b.rooms.seat(bob.session, arena, 2)).toBe(first)
  cutOff(cuts, b, true)
  await clock.advance(times.nodeLeaseMs + times.beatMs)
  expect(await sit(a, await onMatchbox(a, 'carl'))).toBe(first)
})

test('after a flush, a peer whose seat another one has taken takes a seat in another group', async () => {
  const { a, b, cluster, clock, times } = await two()
  const first = await sit(a, await onMatchbox(a, 'ann'))
  const bob = await onMatchbox(b, 'bob')
  expect(await b.rooms.seat(bob.session, arena, 2)).toBe(first)
  await clock.advance(100)
  cluster.flush()
  await clock.advance(times.beatMs)
  expect(await sit(b, await onMatchbox(b, 'carl'))).toBe(first)
  await b.rooms.join(bob.session, first)
  await b.rooms.list(bob.session, first)
  expect(await b.rooms.confirm(bob.session)).toBe(false)
  await b.rooms.part(bob.session, first)
  expect(await sit(b, bob)).not.toBe(first)
})

test('a flush before the last confirmation does not open a group that has all its members', async () => {
  const { a, b, cluster, clock, times } = await two()
  const first = await sit(a, await onMatchbox(a, 'ann'))
  const bob = await onMatchbox(b, 'bob')
  expect(await b.rooms.seat(bob.session, arena, 2)).toBe(first)
  await b.rooms.join(bob.session, first)
  cluster.flush()
  await clock.advance(times.beatMs)
  await b.rooms.list(bob.session, first)
  expect(await b.rooms.confirm(bob.session)).toBe(true)
  await clock.advance(RENEW_ROUND_BEATS * times.beatMs)
  expect(await sit(b, await onMatchbox(b, 'carl'))).not.toBe(first)
})

test('a beat later, a group that has met is not opened again by a flush, even if a member has left', async () => {
  const { a, b, cluster, clock, times } = await two()
  const first = await sit(a, await onMatchbox(a, 'ann'))
  const bob = await onMatchbox(b, 'bob')
  expect(await sit(b, bob)).toBe(first)
  await clock.advance(times.beatMs)
  await b.end(bob.connection.id, 'left')
  cluster.flush()
  await clock.advance(times.beatMs)
  expect(await sit(b, await onMatchbox(b, 'carl'))).not.toBe(first)
})

test('a seat that could not be confirmed is confirmed by a later beat', async () => {
  const { a, b, clock, cuts, times, errors } = await two()
  const first = await sit(a, await onMatchbox(a, 'ann'))
  const bob = await onMatchbox(b, 'bob')
  vi.spyOn(cutOf(cuts, b).backend.seats, 'keep').mockRejectedValueOnce(new RegistryUnavailable('slow'))
  expect(await sit(b, bob)).toBe(first)
  expect(errors).toHaveLength(1)
  await clock.advance(RENEW_ROUND_BEATS * times.beatMs)
  await b.end(bob.connection.id, 'left')
  expect(await sit(a, await onMatchbox(a, 'carl'))).not.toBe(first)
})

test('a seat is renewed while its group waits', async () => {
  const { a, b, clock, times } = await two()
  const ann = await onMatchbox(a, 'ann')
  const first = await sit(a, ann)
  await clock.advance(2 * times.nameTtlMs)
  expect(await sit(b, await onMatchbox(b, 'bob'))).toBe(first)
})

test('nobody is seated with a peer of a dead node', async () => {
  const { a, b, clock, cuts, times } = await two()
  const first = await sit(b, await onMatchbox(b, 'lost'))
  cutOff(cuts, b, true)
  await clock.advance(times.nodeLeaseMs + times.beatMs)
  const second = await sit(a, await onMatchbox(a, 'ann'))
  expect(second).not.toBe(first)
  expect(await sit(a, await onMatchbox(a, 'bob'))).toBe(second)
})

test('after a flush a waiting group waits on, and a full one is not opened again', async () => {
  const { a, b, cluster, clock, times } = await two()
  const pair = await sit(a, await onMatchbox(a, 'ann'))
  expect(await sit(b, await onMatchbox(b, 'bob'))).toBe(pair)
  const waiting = await sit(b, await onMatchbox(b, 'carl'))
  await clock.advance(100)
  cluster.flush()
  await clock.advance(times.beatMs)
  expect(await sit(a, await onMatchbox(a, 'dora'))).toBe(waiting)
  const next = await sit(a, await onMatchbox(a, 'emil'))
  expect([pair, waiting]).not.toContain(next)
})

test('after a lapse a seat is kept under the new NodeId', async () => {
  const { a, b, clock, cuts, times } = await two()
  const first = await sit(b, await onMatchbox(b, 'bob'))
  cutOff(cuts, b, true)
  await clock.advance(times.nodeLeaseMs + times.beatMs)
  cutOff(cuts, b, false)
  await clock.advance(RENEW_ROUND_BEATS * times.beatMs)
  expect(await sit(a, await onMatchbox(a, 'ann'))).toBe(first)
})

test('a room of matchbox and a native room of the same name have different members', async () => {
  const { a, b } = await two()
  const [ann, bob] = [await onMatchbox(a, 'ann'), await arrive(b, 'bob')]
  await a.rooms.join(ann.session, arena)
  await b.rooms.join(bob.session, arena)
  const namesFor = async (node: Node, { session }: Arrival): Promise<string[]> =>
    (await node.rooms.list(session, arena)).members.map(({ name }) => name)
  expect([await namesFor(a, ann), await namesFor(b, bob)]).toEqual([['ann'], ['bob']])
})
