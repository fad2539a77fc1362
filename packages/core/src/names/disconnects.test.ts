import { expect, test } from 'vitest'
import type { App, Name } from '@peerage/protocol'
import { parseApp, parseName, parseRoom } from '@peerage/protocol'
import { must } from '../testing/cluster.js'
import { cutOf, two } from '../testing/nodes.js'
import { RecordedConnection, arrive, peerNamed } from '../testing/peers.js'
import { RegistryUnavailable } from './registry.js'

const APP: App = must(parseApp('default'))
const named = (text: string): { name: Name } => ({ name: must(parseName(text)) })
const OUT = { code: 4505, text: 'signed out' }

test('a peer is disconnected by its name, from any node, with the code and text, and its name is free at once', async () => {
  const { a, b, clock } = await two()
  const alice = await arrive(a, 'alice')
  const bob = await arrive(a, 'bob')
  expect(await b.disconnects.disconnect(APP, named('alice'), OUT)).toEqual({ closed: 1 })
  await clock.advance(1)
  expect([alice.connection.closed, alice.connection.closedWith]).toEqual(['disconnected', OUT])
  expect(bob.connection.closed).toBeUndefined()
  expect((await arrive(b, 'alice', { secret: 'another' })).outcome.ok).toBe(true)
  await a.end(alice.connection.id, 'dropped')
  expect((await b.lookup([peerNamed('alice')]))[0]?.state).toBe('online')
  expect(await b.disconnects.disconnect(APP, named('nobody'), OUT)).toEqual({ closed: 0 })
})

test('the name of a peer that may come back stays reserved for it', async () => {
  const { a, b, clock } = await two()
  const alice = await arrive(a, 'alice')
  await b.disconnects.disconnect(APP, named('alice'), { code: 4400, text: 'reload' })
  await clock.advance(1)
  expect(alice.connection.closedWith).toEqual({ code: 4400, text: 'reload' })
  expect((await arrive(b, 'alice', { secret: 'another' })).outcome).toEqual({ ok: false, code: 'name-taken' })
  const again = await arrive(b, 'alice')
  expect(again.outcome).toMatchObject({ ok: true, reclaimed: true })
})

test('a peer whose token was revoked is closed as at the end of its token, and may come back', async () => {
  const { a, b, clock } = await two()
  const alice = await arrive(a, 'alice')
  await b.disconnects.disconnect(APP, named('alice'), { code: 4504, text: 'revoked' })
  await clock.advance(1)
  expect([alice.connection.closed, alice.connection.closedWith]).toEqual(['token-expired', {}])
  expect((await arrive(b, 'alice', { secret: 'another' })).outcome).toEqual({ ok: false, code: 'name-taken' })
  expect((await arrive(b, 'alice')).outcome).toMatchObject({ ok: true, reclaimed: true })
})

test('a name that is away is free at once, even if its node has died since', async () => {
  const { a, b, clock, times } = await two()
  const alice = await arrive(a, 'alice')
  await a.end(alice.connection.id, 'dropped')
  expect(await b.disconnects.disconnect(APP, named('alice'), OUT)).toEqual({ closed: 1 })
  await clock.advance(1)
  expect((await arrive(b, 'alice', { secret: 'another' })).outcome.ok).toBe(true)
  const carol = await arrive(a, 'carol')
  await a.end(carol.connection.id, 'dropped')
  await a.stop()
  await clock.advance(times.beatMs)
  expect(await b.disconnects.disconnect(APP, named('carol'), OUT)).toEqual({ closed: 1 })
  expect((await arrive(b, 'carol', { secret: 'another' })).outcome).toMatchObject({ ok: true })
})

test('all peers of an identity or a token are disconnected on all nodes, and nobody else', async () => {
  const { a, b, clock } = await two()
  const phone = await arrive(a, 'phone', { holder: { identity: 'user-1', tokenId: 'x', issuedAt: 1_000 } })
  const laptop = await arrive(b, 'laptop', { holder: { identity: 'user-1', tokenId: 'y', issuedAt: 2_000 } })
  const other = await arrive(b, 'other', { holder: { identity: 'user-2', issuedAt: 1_000 } })
  const nobody = await arrive(b, 'user-1')
  await a.disconnects.disconnect(must(parseApp('another-app')), { identity: 'user-1' }, OUT)
  await a.disconnects.disconnect(APP, { tokenId: 'x' }, { ...OUT, before: 1_000 })
  await clock.advance(1)
  expect(phone.connection.closed).toBeUndefined()
  expect(await a.disconnects.disconnect(APP, { identity: 'user-1' }, { ...OUT, before: 2_000 })).toEqual({
    closed: undefined,
  })
  await clock.advance(1)
  expect([phone, laptop].map(({ connection }) => connection.closed)).toEqual(['disconnected', undefined])
  await a.disconnects.disconnect(APP, { tokenId: 'y' }, OUT)
  await clock.advance(1)
  expect([laptop, other, nobody].map(({ connection }) => connection.closed)).toEqual([
    'disconnected',
    undefined,
    undefined,
  ])
})

test('a renewed token takes the place of the former one', async () => {
  const { a } = await two()
  const alice = await arrive(a, 'alice', { holder: { identity: 'user-1', tokenId: 'x' } })
  a.sessions.apply(alice.connection.id, { type: 'renewed', holder: { identity: 'user-1', tokenId: 'y' } })
  await a.disconnects.disconnect(APP, { tokenId: 'x' }, OUT)
  expect(alice.connection.closed).toBeUndefined()
  await a.disconnects.disconnect(APP, { tokenId: 'y' }, OUT)
  expect(alice.connection.closed).toBe('disconnected')
})

test('a peer that was admitted before the request and wins its claim after it is closed', async () => {
  const { a, b, clock, cuts } = await two()
  const { registry } = cutOf(cuts, b).backend
  const claim = registry.claim.bind(registry)
  let release = (): void => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  registry.claim = async (...args) => {
    await held
    return claim(...args)
  }
  const arriving = arrive(b, 'alice', { holder: { identity: 'user-1' } })
  await clock.advance(1)
  await a.disconnects.disconnect(APP, { identity: 'user-1' }, OUT)
  await clock.advance(1)
  release()
  const alice = await arriving
  expect(alice.outcome).toEqual({ ok: false, code: 'not-claimed' })
  expect([alice.connection.closed, alice.connection.closedWith]).toEqual(['disconnected', OUT])
  await clock.advance(1)
  expect(await a.lookup([peerNamed('alice')])).toEqual([{ state: 'offline' }])
})

test('a connection that is opened after the request is not closed by it', async () => {
  const { a, b, clock } = await two()
  await arrive(b, 'alice')
  await a.disconnects.disconnect(APP, named('alice'), { code: 4400, text: 'reload' })
  await clock.advance(1)
  const again = await arrive(b, 'alice')
  expect(again.outcome.ok).toBe(true)
  expect(again.connection.closed).toBeUndefined()
})

test('a peer is disconnected even if the registry does not say where its name is', async () => {
  const { a, b, clock, cuts } = await two()
  const [alice, bob] = [await arrive(b, 'alice'), await arrive(a, 'bob')]
  cutOf(cuts, a).backend.registry.lookup = () => Promise.reject(new RegistryUnavailable('not now'))
  expect(await a.disconnects.disconnect(APP, named('alice'), OUT)).toEqual({ closed: undefined })
  expect(await a.disconnects.disconnect(APP, named('bob'), OUT)).toEqual({ closed: 1 })
  await clock.advance(1)
  expect([alice.connection.closed, bob.connection.closed]).toEqual(['disconnected', 'disconnected'])
})

test('a disconnected peer leaves its rooms', async () => {
  const { a, b, clock } = await two()
  const hall = must(parseRoom('hall'))
  const alice = await arrive(a, 'alice')
  await a.rooms.join(alice.session, hall)
  expect((await b.rooms.page(APP, hall, undefined, 10)).members.map(({ name }) => name)).toEqual(['alice'])
  await b.disconnects.disconnect(APP, named('alice'), OUT)
  await clock.advance(1)
  expect(await b.rooms.page(APP, hall, undefined, 10)).toEqual({ members: [], more: false })
})

test('a message of a sender that is no member reaches all members of a room', async () => {
  const { a, b, clock } = await two()
  const hall = must(parseRoom('hall'))
  const [alice, bob] = [await arrive(a, 'alice'), await arrive(b, 'bob')]
  for (const [node, { session }] of [
    [a, alice],
    [b, bob],
  ] as const)
    await node.rooms.join(session, hall)
  expect(await a.rooms.sayFrom(APP, hall, 'frame')).toBe('sent')
  await clock.advance(1)
  for (const { connection } of [alice, bob])
    expect(connection.sent).toContainEqual({ type: 'said', frame: 'frame' })
})

test('a connection that the node does not know any more is not closed twice', async () => {
  const { a } = await two()
  const connection = new RecordedConnection('zz1')
  a.open(connection)
  await a.disconnects.disconnect(APP, named('alice'), OUT)
  expect(connection.closed).toBeUndefined()
})

test('if the node of a peer cannot be told, nobody says that the peer was closed', async () => {
  const { a, b, cuts } = await two()
  await arrive(a, 'alice')
  cutOf(cuts, b).backend.bus.publish = () => Promise.resolve('unavailable')
  expect(await b.disconnects.disconnect(APP, named('alice'), OUT)).toEqual({ closed: undefined })
})
