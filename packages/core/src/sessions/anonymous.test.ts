import type { App } from '@peerage/protocol'
import { nameOf, parseApp, parseRoomId } from '@peerage/protocol'
import { expect, test } from 'vitest'
import { must } from '../testing/cluster.js'
import { addNode, cutOff, testCluster, two } from '../testing/nodes.js'
import { RecordedConnection, arrive, comeIn, peerNamed } from '../testing/peers.js'

const APP: App = must(parseApp('default'))
const OUT = { code: 4505, text: 'signed out' }
const hall = must(parseRoomId('default:y-webrtc/hall'))
let serial = 0

function opened(node: { open(connection: RecordedConnection): unknown }): RecordedConnection {
  serial++
  const connection = new RecordedConnection(`t${serial.toString(36)}`, 'y-webrtc')
  node.open(connection)
  return connection
}

test('a connection comes in once, and then can claim no name', async () => {
  const { a } = await two()
  const { connection, session } = comeIn(a, { holder: { identity: 'user-1' } })
  expect(session).toMatchObject({ state: 'anonymous', app: 'default', holder: { identity: 'user-1' } })
  expect([a.sessions.anonymousCount, a.sessions.onlineCount, a.sessions.count]).toEqual([1, 0, 1])
  expect(a.admit(connection, APP)).toEqual({ ok: false, code: 'already-claimed' })
  const claim = await a.claim(connection, { peer: peerNamed('alice'), secret: 's', policy: 'refuse' })
  expect(claim).toEqual({ ok: false, code: 'already-claimed' })
  await a.end(connection.id, 'left')
  expect([a.sessions.anonymousCount, a.sessions.count]).toEqual([0, 0])
})

test('a connection that came in without a name is not closed for having none', async () => {
  const { a, clock } = await two()
  const { connection } = comeIn(a)
  const silent = opened(a)
  await clock.advance(15_000)
  expect([connection.closed, silent.closed]).toEqual([undefined, 'claim-timeout'])
})

test('a node that has not started, drains or is fenced lets nobody in', async () => {
  const made = await two()
  const { a, b, clock, times } = made
  cutOff(made.cuts, a, true)
  await clock.advance(times.nodeLeaseMs + times.beatMs)
  expect(a.admit(opened(a), APP)).toEqual({ ok: false, code: 'registry-unavailable' })
  b.beginDrain()
  expect(b.admit(opened(b), APP)).toEqual({ ok: false, code: 'draining' })
})

test('a node that stops closes connections without names, and they are in no room', async () => {
  const made = await testCluster(1)
  const node = await addNode(made)
  const { connection, session } = comeIn(node)
  await node.anonymousRooms.join(session, hall)
  await node.stop()
  expect(connection.closed).toBe('drain')
  await node.end(connection.id, 'left')
  expect(node.anonymousRooms.count).toBe(0)
})

test('a connection that leaves is in no room any more when it is closed', async () => {
  const { a } = await two()
  const { connection, session } = comeIn(a)
  await a.anonymousRooms.join(session, hall)
  await a.leave(session)
  expect([connection.closed, a.anonymousRooms.count]).toEqual(['left', 0])
  expect(await a.anonymousRooms.join(session, hall)).toBe('parted')
})

test('peers without names are disconnected by their identity or token, on all nodes, and leave their rooms', async () => {
  const { a, b, clock } = await two()
  const phone = comeIn(a, { holder: { identity: 'user-1', tokenId: 'x', issuedAt: 1_000 } })
  const laptop = comeIn(b, { holder: { identity: 'user-1', tokenId: 'y', issuedAt: 2_000 } })
  const elsewhere = comeIn(b, { app: 'another-app', holder: { identity: 'user-1' } })
  const nobody = comeIn(b)
  await a.anonymousRooms.join(phone.session, hall)
  await b.disconnects.disconnect(APP, { identity: 'user-1' }, { ...OUT, before: 2_000 })
  await clock.advance(1)
  expect([phone.connection.closed, phone.connection.closedWith]).toEqual(['disconnected', OUT])
  expect([a.anonymousRooms.count, a.sessions.anonymousCount]).toEqual([0, 0])
  expect(laptop.connection.closed).toBeUndefined()
  await a.disconnects.disconnect(APP, { tokenId: 'y' }, { code: 4504, text: 'revoked' })
  await clock.advance(1)
  expect(laptop.connection.closed).toBe('token-expired')
  for (const { connection } of [elsewhere, nobody]) expect(connection.closed).toBeUndefined()
})

test('a disconnect by name means no peer without a name', async () => {
  const { a } = await two()
  const { connection, session } = comeIn(a)
  const bob = await arrive(a, 'bob')
  expect(await a.disconnects.disconnect(APP, { name: nameOf(bob.session.peer) }, OUT)).toEqual({ closed: 1 })
  expect([connection.closed, session.state]).toEqual([undefined, 'anonymous'])
})

test('a connection that was opened before its identity was disconnected, and comes in later, is closed', async () => {
  const { a, b, clock } = await two()
  const late = opened(b)
  await clock.advance(1)
  await a.disconnects.disconnect(APP, { identity: 'user-1' }, OUT)
  await clock.advance(1)
  expect(b.admit(late, APP, { identity: 'user-1' })).toEqual({ ok: false, code: 'not-claimed' })
  expect([late.closed, late.closedWith]).toEqual(['disconnected', OUT])
  const next = opened(b)
  expect(b.admit(next, APP, { identity: 'user-1' }).ok).toBe(true)
})
