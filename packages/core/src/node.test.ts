import { describe, expect, test } from 'vitest'
import { parseRoom, roomIdOf } from '@peerage/protocol'
import type { Message } from './routing/message.js'
import { RegistryUnavailable } from './names/registry.js'
import { settled } from '@peerage/test-support/fake-clock.js'
import { must } from './testing/cluster.js'
import { cutOf, cutOff, testCluster, two } from './testing/nodes.js'
import type { Arrival } from './testing/peers.js'
import { arrive, comeIn, messageFrom, peerNamed } from './testing/peers.js'
import { RENEW_ROUND_BEATS } from './times.js'

const hall = must(parseRoom('hall'))

function changesOf({ connection }: Arrival): string[] {
  return connection.sent.flatMap((message) =>
    message.type === 'changed' ? message.members.map(({ name, state }) => `${name} ${state}`) : [],
  )
}

describe('routing', () => {
  test('a message to a peer on the same node is delivered at once, without the store', async () => {
    const { a, cluster } = await two()
    const [alice, bob] = [await arrive(a, 'alice'), await arrive(a, 'bob')]
    cluster.setDown(true)
    expect(a.router.route(messageFrom(a, alice, 'bob'))).toBe('delivered')
    expect(bob.connection.frames).toEqual(['alice says 1'])
  })

  test('a message is forwarded to the node that holds its recipient', async () => {
    const { a, b } = await two()
    const [alice, bob] = [await arrive(a, 'alice'), await arrive(b, 'bob')]
    expect(await a.router.route(messageFrom(a, alice, 'bob'))).toBe('forwarded')
    await settled()
    expect(bob.connection.frames).toEqual(['alice says 1'])
  })

  test('messages of one pair keep their order while the first look-up is pending', async () => {
    const { a, b } = await two()
    const [alice, bob] = [await arrive(a, 'alice'), await arrive(b, 'bob')]
    const sends = ['1', '2', '3', '4'].map((ref) => a.router.route(messageFrom(a, alice, 'bob', { ref })))
    await Promise.all(sends.map(async (outcome) => outcome))
    await settled()
    expect(bob.connection.frames).toEqual(['1', '2', '3', '4'].map((ref) => `alice says ${ref}`))
  })

  test('[I14] an unknown name is unavailable at once, and the sender is told', async () => {
    const { a } = await two()
    const alice = await arrive(a, 'alice')
    expect(await a.router.route(messageFrom(a, alice, 'nobody'))).toEqual({ refused: 'unavailable' })
    expect(alice.connection.notices).toEqual([{ ref: '1', code: 'unavailable' }])
  })

  test('[I14] a message to an away peer is refused with away', async () => {
    const { a, b } = await two()
    const [alice, bob] = [await arrive(a, 'alice'), await arrive(b, 'bob')]
    await b.end(bob.connection.id, 'dropped')
    expect(await a.router.route(messageFrom(a, alice, 'bob'))).toEqual({ refused: 'away' })
  })

  test('[I14] the sender is told when its recipient on another node reads too slowly', async () => {
    const { a, b } = await two()
    const [alice, bob] = [await arrive(a, 'alice'), await arrive(b, 'bob')]
    bob.connection.full = true
    await a.router.route(messageFrom(a, alice, 'bob'))
    await settled()
    expect(alice.connection.notices).toEqual([{ ref: '1', code: 'slow-consumer' }])
  })

  test('a peer of another wire is incompatible and never gets the frame', async () => {
    const { a, b } = await two()
    const [alice, bob] = [await arrive(a, 'alice'), await arrive(b, 'bob', { wire: 'peerjs' })]
    await a.router.route(messageFrom(a, alice, 'bob'))
    await settled()
    expect(alice.connection.notices).toEqual([{ ref: '1', code: 'incompatible' }])
    expect(bob.connection.sent).toEqual([])
  })

  test('[I14] when the recipient’s node hears nothing, the sender is told, and the next message looks up again', async () => {
    const { clock, nodes, cuts, times } = await testCluster(3)
    const [a, b, c] = nodes
    if (!a || !b || !c) throw new Error('expected three nodes')
    await clock.advance(times.beatMs)
    const [alice, bob] = [await arrive(a, 'alice'), await arrive(b, 'bob')]
    await a.router.route(messageFrom(a, alice, 'bob'))
    // The publish fails as it does when Redis has dropped the subscriber, or when that node's process has just died.
    await cutOf(cuts, b).backend.bus.close()
    const moved = await arrive(c, 'bob')
    const refused = { refused: 'registry-unavailable' }
    expect(await a.router.route(messageFrom(a, alice, 'bob', { ref: '2' }))).toEqual(refused)
    expect(alice.connection.notices).toEqual([{ ref: '2', code: 'registry-unavailable' }])
    expect(await a.router.route(messageFrom(a, alice, 'bob', { ref: '3' }))).toBe('forwarded')
    await settled()
    expect(moved.connection.frames).toEqual(['alice says 3'])
    expect(bob.connection.frames).toEqual(['alice says 1'])
  })

  test('[I5] a node whose holder has gone returns the message, which then finds the peer on its new node', async () => {
    const { clock, nodes, cluster, times, errors, events } = await testCluster(3)
    const [a, b, c] = nodes
    if (!a || !b || !c) throw new Error('expected three nodes')
    await clock.advance(times.beatMs)
    const [alice, bob] = [await arrive(a, 'alice'), await arrive(b, 'bob')]
    await a.router.route(messageFrom(a, alice, 'bob'))
    const moved = await arrive(c, 'bob')
    await settled()
    expect(bob.connection.closed).toBe('superseded')
    // a still has the route to b cached.
    expect(await a.router.route(messageFrom(a, alice, 'bob', { ref: '2' }))).toBe('forwarded')
    await settled()
    expect(moved.connection.frames).toEqual(['alice says 2'])
    expect(bob.connection.frames).toEqual(['alice says 1'])
    expect({ errors, names: cluster.size().names, events }).toMatchObject({ errors: [], names: 2 })
  })

  test('[I5] an acknowledgement finds a sender that left and came back, although its old route was cached', async () => {
    const { a, b } = await two()
    const first = await arrive(a, 'alice')
    const bob = await arrive(b, 'bob')
    const ack = (ref: string): Message => messageFrom(b, bob, 'alice', { kind: 'ack', ref, frame: ref })
    await b.router.route(ack('one'))
    await settled()
    expect(first.connection.frames).toEqual(['one'])
    await a.leave(first.session)
    const again = await arrive(a, 'alice', { secret: 'another page' })
    await b.router.route(ack('two'))
    await settled()
    expect(again.connection.frames).toEqual(['two'])
    // An acknowledgement for an absent peer is not answered.
    await a.leave(again.session)
    await b.router.route(ack('three'))
    await settled()
    expect(bob.connection.sent).toEqual([])
  })

  test('[I5] a message bound to a former holder is unavailable, and the new holder never gets it', async () => {
    const { a, b } = await two()
    const [alice, bob] = [await arrive(a, 'alice'), await arrive(b, 'bob')]
    const { since } = bob.session.lease
    await b.leave(bob.session)
    const stranger = await arrive(b, 'bob', { secret: 'another' })
    const message = messageFrom(a, alice, 'bob', { since })
    expect(await a.router.route(message)).toEqual({ refused: 'unavailable' })
    expect(stranger.connection.sent).toEqual([])
  })

  test('a resend is not delivered to a local session that another node has superseded', async () => {
    const { a, b } = await two()
    const [alice, stale] = [await arrive(a, 'alice'), await arrive(a, 'bob')]
    a.router.receive = () => {} // a never learns that bob moved to b
    const current = await arrive(b, 'bob')
    await settled()
    expect(a.router.route(messageFrom(a, alice, 'bob'))).toBe('delivered')
    expect(stale.connection.frames).toHaveLength(1)
    expect(await a.router.route(messageFrom(a, alice, 'bob', { ref: '2', fresh: true }))).toBe('forwarded')
    await settled()
    expect(current.connection.frames).toEqual(['alice says 2'])
  })

  test('while the store is down, remote messages are registry-unavailable and local pairs go on', async () => {
    const { a, b, clock, cluster, times } = await two()
    const [alice, , carol] = [await arrive(a, 'alice'), await arrive(b, 'bob'), await arrive(a, 'carol')]
    cluster.setDown(true)
    expect(await a.router.route(messageFrom(a, alice, 'bob'))).toEqual({ refused: 'registry-unavailable' })
    expect(a.router.route(messageFrom(a, alice, 'carol'))).toBe('delivered')
    expect(carol.connection.frames).toHaveLength(1)
    // This is also true for pairs that have never exchanged a message, and for resends.
    expect(await a.lookup([peerNamed('carol')])).toMatchObject([{ state: 'online' }])
    await expect(a.lookup([peerNamed('carol'), peerNamed('bob')])).rejects.toThrow(RegistryUnavailable)
    expect(await a.router.route(messageFrom(a, alice, 'carol', { fresh: true }))).toBe('delivered')
    await clock.advance(times.nodeLeaseMs)
    expect(a.fenced).toBe(true)
    expect(await a.router.route(messageFrom(a, alice, 'carol', { fresh: true }))).toBe('delivered')
    expect(carol.connection.frames).toHaveLength(3)
  })

  test('right after the store came back, an unknown name is only temporarily unavailable', async () => {
    const { a, cluster, clock, times } = await two()
    const alice = await arrive(a, 'alice')
    cluster.setDown(true)
    cluster.setDown(false)
    await settled()
    expect(await a.router.route(messageFrom(a, alice, 'bob'))).toEqual({ refused: 'registry-unavailable' })
    await clock.advance(2 * times.beatMs + 1)
    expect(await a.router.route(messageFrom(a, alice, 'bob'))).toEqual({ refused: 'unavailable' })
  })
})

describe('names', () => {
  test('[I8] a peer with the secret takes its name back on another node, and the old socket is superseded', async () => {
    const { a, b } = await two()
    const first = await arrive(a, 'alice')
    const { since, epoch } = first.session.lease
    const second = await arrive(b, 'alice')
    await settled()
    expect(first.connection.closed).toBe('superseded')
    expect(second.session.lease).toMatchObject({ since })
    expect(second.session.lease.epoch).toBeGreaterThan(epoch)
    // The late end of the old socket changes nothing [I4].
    await a.end(first.connection.id, 'left')
    expect(await b.lookup([peerNamed('alice')])).toEqual([{ state: 'online', since }])
  })

  test('[I9] a wrong secret is refused', async () => {
    const { a, b } = await two()
    await arrive(a, 'alice')
    const thief = await arrive(b, 'alice', { secret: 'guess' })
    expect(thief.outcome).toEqual({ ok: false, code: 'name-taken' })
  })

  test('[I9] the policy replace gives the name to the new holder, with a new since', async () => {
    const { a, b } = await two()
    const first = await arrive(a, 'alice')
    const { since } = first.session.lease
    const second = await arrive(b, 'alice', { secret: 'other', policy: 'replace' })
    await settled()
    expect(first.connection.closed).toBe('superseded')
    expect(second.session.lease.since).toBeGreaterThan(since)
  })

  test('[I6] a peer that leaves frees its name at once', async () => {
    const { a, b } = await two()
    const alice = await arrive(a, 'alice')
    await a.leave(alice.session)
    expect((await arrive(b, 'alice', { secret: 'other' })).outcome.ok).toBe(true)
  })

  test('[I6] a dropped peer keeps its name for the grace and no longer', async () => {
    const { a, b, clock, times } = await two()
    const alice = await arrive(a, 'alice')
    await a.end(alice.connection.id, 'dropped')
    await clock.advance(times.graceMs - 1)
    expect((await arrive(b, 'alice', { secret: 'other' })).outcome.ok).toBe(false)
    await clock.advance(1)
    expect((await arrive(b, 'alice', { secret: 'other' })).outcome.ok).toBe(true)
  })

  test('[I7] each node that starts has a NodeId of its own', async () => {
    const { a, b } = await two()
    expect(a.id).not.toBe(b.id)
  })

  test('[I10] after a flush every lease is written back unchanged within a beat', async () => {
    const { a, b, clock, cluster, times } = await two()
    const arrivals = [await arrive(a, 'alice'), await arrive(b, 'bob'), await arrive(b, 'carol')]
    const before = arrivals.map(({ session }) => session.lease)
    cluster.flush()
    await clock.advance(times.beatMs)
    const after = await Promise.all(before.map((lease) => a.router.lookup(lease.peer)))
    expect(after).toEqual(before)
  })

  test('[I12] a node without the store is fenced when its lease ends: it takes no claims and is not ready, but local pairs go on', async () => {
    const { a, b, clock, cluster, times, errors } = await two()
    const [alice, bob] = [await arrive(a, 'alice'), await arrive(a, 'bob')]
    const remote = await arrive(b, 'remote')
    cluster.setDown(true)
    await clock.advance(times.nodeLeaseMs)
    expect(a.fenced).toBe(true)
    expect(a.readiness().ready).toBe(false)
    expect((await arrive(a, 'dora')).outcome).toEqual({ ok: false, code: 'registry-unavailable' })
    expect(a.router.route(messageFrom(a, alice, 'bob'))).toBe('delivered')
    expect(bob.connection.frames).toHaveLength(1)
    a.router.receive({
      type: 'deliver',
      epoch: alice.session.lease.epoch,
      hops: 0,
      message: messageFrom(b, remote, 'alice'),
    })
    expect(alice.connection.frames).toEqual([])
    expect(errors.length).toBeGreaterThan(0)
  })

  test('[I12] a lapsed node gets a new NodeId, keeps the names that are still its own, and closes the sessions whose names it lost', async () => {
    const { a, b, clock, cluster, times, cuts } = await two()
    const [kept, lost] = [await arrive(a, 'kept'), await arrive(a, 'lost')]
    const former = a.id
    cutOff(cuts, a, true)
    await clock.advance(times.nodeLeaseMs + times.graceMs + 2 * times.beatMs)
    expect(a.fenced).toBe(true)
    const taker = await arrive(b, 'lost', { secret: 'other' })
    expect(taker.outcome.ok).toBe(true)
    cutOff(cuts, a, false)
    await clock.advance(times.beatMs)
    expect(a.id).not.toBe(former)
    expect(lost.connection.closed).toBe('lease-lost')
    expect(kept.connection.closed).toBeUndefined()
    expect(kept.session.lease.node).toBe(a.id)
    expect(await b.router.lookup(peerNamed('kept'))).toMatchObject({ node: a.id })
    expect(cluster.size().names).toBe(2)
  })

  test('[I12] a lapsed node that loses the store again before its names have moved moves them later', async () => {
    const { a, b, clock, times, cuts } = await two()
    const kept = await arrive(a, 'kept')
    const former = a.id
    cutOff(cuts, a, true)
    await clock.advance(times.nodeLeaseMs + times.beatMs)
    // The store answers the two beats of the new identity, and fails before the names can move.
    const { registry } = cutOf(cuts, a).backend
    const reassert = registry.reassert.bind(registry)
    registry.reassert = () => Promise.reject(new RegistryUnavailable('gone again'))
    cutOff(cuts, a, false)
    await clock.advance(times.beatMs)
    expect(a.id).not.toBe(former)
    expect(a.fenced).toBe(true)
    registry.reassert = reassert
    await clock.advance(times.beatMs)
    expect(a.fenced).toBe(false)
    expect(await b.router.lookup(peerNamed('kept'))).toMatchObject({ node: a.id, state: 'online' })
    expect(kept.connection.closed).toBeUndefined()
  })

  test('[I10] a claim that loses against an older one is closed with lease-lost, so that it claims again', async () => {
    const { a, b, clock, cluster, cuts, times } = await two()
    const older = await arrive(a, 'alice')
    cutOff(cuts, a, true)
    cluster.flush()
    // Within one millisecond, only the node ids would decide between the claims.
    await clock.advance(10)
    // The name is lost without notice, as when a shard of a Redis Cluster is emptied.
    const { registry } = cutOf(cuts, b).backend
    const claim = registry.claim.bind(registry)
    registry.claim = (peer, owner, options) => claim(peer, owner, { ...options, absent: 'take' })
    const later = await arrive(b, 'alice', { secret: 'other' })
    expect(later.outcome.ok).toBe(true)
    cutOff(cuts, a, false)
    await clock.advance(2 * times.beatMs)
    expect(later.connection.closed).toBe('lease-lost')
    expect(older.connection.closed).toBeUndefined()
  })

  test('a connection that claims no name in time is closed', async () => {
    const { a, clock } = await two()
    const { connection } = await arrive(a, 'alice')
    const idle = (await arrive(a, 'alice', { secret: 'other' })).connection
    await clock.advance(12_001)
    expect(idle.closed).toBe('claim-timeout')
    expect(connection.closed).toBeUndefined()
  })

  test('[I6] a claim that won but was never answered: nobody was told, so nobody holds the name', async () => {
    const { a, b, cuts, clock, times } = await two()
    const { registry } = cutOf(cuts, a).backend
    const [claim, lookup] = [registry.claim.bind(registry), registry.lookup.bind(registry)]
    await b.end((await arrive(b, 'old')).connection.id, 'dropped')
    registry.claim = async (...args) => {
      await claim(...args)
      throw new RegistryUnavailable('no answer in time')
    }
    for (const name of ['fresh', 'old', 'again'])
      expect((await arrive(a, name)).outcome).toEqual({ ok: false, code: 'registry-unavailable' })
    registry.claim = claim
    // The peer claims again, over another connection.
    expect((await arrive(a, 'again')).outcome.ok).toBe(true)
    // A check that fails is repeated a beat later.
    let asked = 0
    registry.lookup = (peer) => {
      asked++
      return asked > 3 ? lookup(peer) : Promise.reject(new RegistryUnavailable('not yet'))
    }
    for (let beat = 0; beat < 4; beat++) await clock.advance(times.beatMs)
    expect(await b.lookup([peerNamed('fresh'), peerNamed('old'), peerNamed('again')])).toMatchObject([
      { state: 'offline' },
      { state: 'away' },
      { state: 'online' },
    ])
    expect((await arrive(b, 'fresh', { secret: 'of a stranger' })).outcome.ok).toBe(true)
    expect((await arrive(b, 'old', { secret: 'of a stranger' })).outcome.ok).toBe(false)
  })

  test('[I6] a peer that gives up before the answer frees a new name, and a name that it held before waits', async () => {
    const { a, b, cuts } = await two()
    const { registry } = cutOf(cuts, a).backend
    const claim = registry.claim.bind(registry)
    await b.end((await arrive(b, 'old')).connection.id, 'dropped')
    registry.claim = async (...args) => {
      await a.end(args[1].connection, 'dropped')
      return claim(...args)
    }
    expect((await arrive(a, 'fresh')).outcome.ok).toBe(false)
    expect((await arrive(a, 'old')).outcome.ok).toBe(false)
    expect(await b.lookup([peerNamed('fresh'), peerNamed('old')])).toMatchObject([
      { state: 'offline' },
      { state: 'away' },
    ])
    expect((await arrive(b, 'fresh', { secret: 'of a stranger' })).outcome.ok).toBe(true)
    expect((await arrive(b, 'old', { secret: 'of a stranger' })).outcome.ok).toBe(false)
  })

  test('a stop step that fails is reported, and does not prevent the others', async () => {
    const { a, b, cuts, clock, cluster, errors } = await two()
    const [alice, bob] = [await arrive(a, 'alice'), await arrive(a, 'bob')]
    alice.connection.close = () => {
      throw new Error('this socket does not close')
    }
    const { nodes } = cutOf(cuts, a).backend
    nodes.leave = () => Promise.reject(new Error('the nodes cannot be left'))
    await a.stop()
    expect(bob.connection.closed).toBe('drain')
    expect(await b.lookup([peerNamed('alice'), peerNamed('bob')])).toMatchObject([
      { state: 'away' },
      { state: 'away' },
    ])
    expect(errors.map(String)).toEqual([
      'Error: this socket does not close',
      'Error: the nodes cannot be left',
    ])
    await b.stop()
    expect(clock.pending).toBe(0)
    expect(cluster.size()).toMatchObject({ inboxes: 0 })
  })

  test('stop frees the name of a peer that cannot come back, and the others hear that it has left', async () => {
    const { a, b, clock } = await two()
    const [ann, bob] = [await arrive(a, 'ann'), await arrive(b, 'bob')]
    bob.connection.leavesAtEnd = true
    await a.rooms.join(ann.session, hall)
    await b.rooms.join(bob.session, hall)
    await clock.advance(100)
    await b.stop()
    await clock.advance(100)
    expect(changesOf(ann).at(-1)).toBe('bob left')
    expect(await a.lookup([peerNamed('bob')])).toMatchObject([{ state: 'offline' }])
  })

  test('stop ends the memberships of an anonymous peer whose socket is still open', async () => {
    const { a, b, clock } = await two()
    const { session, connection } = comeIn(b)
    connection.leavesAtEnd = true
    const pool = roomIdOf(session.app, hall, 'webtorrent')
    await b.pools.enter(session, pool, 'seed', { marked: false, draw: 0, ttlMs: 60_000 })
    await b.stop()
    await clock.advance(100)
    expect(await a.pools.sizes([pool])).toMatchObject([{ members: 0 }])
  })

  test('a node that stops leaves the cluster when the others have heard of a peer that left a moment before', async () => {
    const { a, b, clock, cuts } = await two()
    const [ann, bob] = [await arrive(a, 'ann'), await arrive(b, 'bob')]
    await a.rooms.join(ann.session, hall)
    await b.rooms.join(bob.session, hall)
    await clock.advance(100)
    const { rooms, nodes } = cutOf(cuts, b).backend
    const part = rooms.part.bind(rooms)
    rooms.part = async (...args) => {
      await new Promise<void>((resolve) => void clock.after(500, resolve))
      return part(...args)
    }
    const leave = nodes.leave.bind(nodes)
    let heard: string[] = []
    nodes.leave = async () => {
      await clock.advance(100)
      heard = changesOf(ann)
      return leave()
    }
    const left = b.end(bob.connection.id, 'left')
    const stopped = b.stop()
    await clock.advance(600)
    await Promise.all([left, stopped])
    expect(heard.at(-1)).toBe('bob left')
  })

  test('stop leaves no timer, inbox or watcher, and its names wait for their holders', async () => {
    const { a, b, clock, cluster } = await two()
    const alice = await arrive(a, 'alice')
    await a.stop()
    expect(alice.connection.closed).toBe('drain')
    expect(await b.lookup([peerNamed('alice')])).toMatchObject([{ state: 'away' }])
    await b.stop()
    expect(clock.pending).toBe(0)
    expect(cluster.size()).toMatchObject({ inboxes: 0, watchers: 0 })
  })
})

describe('a peer that cannot come back, on a node that was away', () => {
  /** Ann is on node a, and bob, who cannot come back, on node b. Both are in the hall. */
  async function inHall() {
    const made = await two()
    const { a, b, clock, cuts } = made
    const [ann, bob] = [await arrive(a, 'ann'), await arrive(b, 'bob')]
    bob.connection.leavesAtEnd = true
    await a.rooms.join(ann.session, hall)
    await b.rooms.join(bob.session, hall)
    await clock.advance(made.times.beatMs)
    const away = async (ms: number): Promise<void> => {
      cutOff(cuts, b, true)
      await clock.advance(ms)
      cutOff(cuts, b, false)
      await clock.advance(5 * made.times.beatMs)
    }
    const names = async (): Promise<string[]> =>
      (await a.rooms.list(ann.session, hall)).members.map(({ name }) => name)
    return { ...made, ann, bob, away, names }
  }

  test('is closed if the others may have been told that it has left, and frees what it had', async () => {
    const { a, b, ann, bob, away, names, times } = await inHall()
    await away(times.nameTtlMs + 20_000)
    expect(changesOf(ann).at(-1)).toBe('bob left')
    expect(bob.connection.closed).toBe('registry-unavailable')
    expect(await names()).toEqual(['ann'])
    expect(await a.lookup([peerNamed('bob')])).toMatchObject([{ state: 'offline' }])
    expect(b.rooms.count).toBe(0)
  })

  test('stays if its membership has not ended', async () => {
    const { ann, bob, away, names, times } = await inHall()
    await away(times.nameTtlMs - RENEW_ROUND_BEATS * times.beatMs - times.beatMs)
    expect(bob.connection.closed).toBeUndefined()
    expect(changesOf(ann)).not.toContain('bob left')
    expect(await names()).toEqual(['ann', 'bob'])
  })

  test('stays if all nodes were without the store, because nobody was told anything', async () => {
    const { a, cluster, clock, ann, bob, names, times, events } = await inHall()
    cluster.setDown(true)
    await clock.advance(times.nameTtlMs + 20_000)
    cluster.setDown(false)
    await clock.advance(2 * RENEW_ROUND_BEATS * times.beatMs)
    expect(events.filter((event) => event === 'lapsed')).toHaveLength(2)
    expect(bob.connection.closed).toBeUndefined()
    expect(changesOf(ann)).not.toContain('bob left')
    expect(await names()).toEqual(['ann', 'bob'])
    expect(await a.lookup([peerNamed('bob')])).toMatchObject([{ state: 'online' }])
  })

  test('stays if it may come back, as a peer of the native wire', async () => {
    const { bob, away, names, times } = await inHall()
    bob.connection.leavesAtEnd = false
    await away(times.nameTtlMs + 20_000)
    expect(bob.connection.closed).toBeUndefined()
    expect(await names()).toEqual(['ann', 'bob'])
  })
})

describe('drain', () => {
  test('[WC7] in a drain, claims that wait get draining, claims at the registry are answered, and no new ones are sent', async () => {
    const { a, cuts } = await two()
    const { registry } = cutOf(cuts, a).backend
    const answers: (() => void)[] = []
    const claim = registry.claim.bind(registry)
    // The registry answers when the test says so.
    registry.claim = async (...args) => {
      await new Promise<void>((resolve) => answers.push(resolve))
      return claim(...args)
    }
    const claims = Array.from({ length: 200 }, (_, i) => arrive(a, `peer${i}`))
    await settled()
    const asked = answers.length
    expect(asked).toBeLessThan(claims.length)
    a.beginDrain()
    for (const answer of answers.splice(0)) answer()
    const outcomes = (await Promise.all(claims)).map(({ outcome }) => (outcome.ok ? 'ok' : outcome.code))
    expect(outcomes).toEqual(outcomes.map((_, i) => (i < asked ? 'ok' : 'draining')))
    expect((await arrive(a, 'late')).outcome).toEqual({ ok: false, code: 'draining' })
    expect(answers).toEqual([])
  })
})

describe('presence', () => {
  const presences = ({ connection }: Arrival, of?: string): string[] =>
    connection.sent.flatMap((message) =>
      message.type === 'presence' && (of === undefined || message.name === of) ? [message.state] : [],
    )

  test('[I15] a watched peer whose node dies silently is seen as away, then offline', async () => {
    const { a, b, clock, times, cuts } = await two()
    const [alice] = [await arrive(a, 'alice'), await arrive(b, 'bob')]
    expect(await a.watchers.watch(alice.connection.id, peerNamed('bob'))).toMatchObject({ state: 'online' })
    cutOff(cuts, b, true)
    const states = (): string[] =>
      alice.connection.sent.flatMap((message) => (message.type === 'presence' ? [message.state] : []))
    await clock.advance(times.nodeLeaseMs + 16 * times.beatMs)
    expect(states()).toContain('away')
    await clock.advance(times.graceMs + 16 * times.beatMs)
    expect(states().at(-1)).toBe('offline')
  })

  test('a watcher learns that a name is free within half a second after the grace', async () => {
    const { a, b, clock, times } = await two()
    const [alice, bob] = [await arrive(a, 'alice'), await arrive(b, 'bob')]
    await a.watchers.watch(alice.connection.id, peerNamed('bob'))
    await b.end(bob.connection.id, 'dropped')
    await clock.advance(times.graceMs - 100)
    expect(presences(alice)).toEqual(['away'])
    await clock.advance(600)
    expect(presences(alice)).toEqual(['away', 'offline'])
  })

  test('so does a peer that begins to watch a name that is away, and one whose holder came back and dropped again', async () => {
    const { a, b, clock, times } = await two()
    const [alice, bob, carol] = [await arrive(a, 'alice'), await arrive(b, 'bob'), await arrive(b, 'carol')]
    await b.end(bob.connection.id, 'dropped')
    await b.end(carol.connection.id, 'dropped')
    await clock.advance(times.graceMs - 10_000)
    for (const name of ['bob', 'carol']) await a.watchers.watch(alice.connection.id, peerNamed(name))
    await b.end((await arrive(b, 'carol')).connection.id, 'dropped')
    await clock.advance(10_500)
    expect(presences(alice, 'bob')).toEqual(['offline'])
    await clock.advance(times.graceMs - 10_500 - 100)
    expect(presences(alice, 'carol').at(-1)).toBe('away')
    await clock.advance(600)
    expect(presences(alice, 'carol').at(-1)).toBe('offline')
  })

  test('the names of a dead node are offline in time once they are seen as away', async () => {
    const { a, b, clock, times, cuts } = await two()
    const [alice] = [await arrive(a, 'alice'), await arrive(b, 'bob')]
    await a.watchers.watch(alice.connection.id, peerNamed('bob'))
    cutOff(cuts, b, true)
    await clock.advance(times.nodeLeaseMs + times.graceMs + times.beatMs + 500)
    expect(presences(alice)).toEqual(['away', 'offline'])
  })

  test('names whose graces end together are looked up together, and unwatched names are not', async () => {
    const { a, b, clock, times, cuts } = await two()
    const alice = await arrive(a, 'alice')
    const names = Array.from({ length: 200 }, (_, i) => `n${i}`)
    const peers = await Promise.all(names.map((name) => arrive(b, name)))
    for (const name of names) await a.watchers.watch(alice.connection.id, peerNamed(name))
    for (const { connection } of peers) await b.end(connection.id, 'dropped')
    await settled()
    for (const name of names.slice(100)) a.watchers.unwatch(alice.connection.id, peerNamed(name))
    await clock.advance(times.graceMs - 1)
    const { registry } = cutOf(cuts, a).backend
    const lookup = registry.lookup.bind(registry)
    const askedAt: number[] = []
    registry.lookup = (peer) => {
      askedAt.push(clock.monotonic())
      return lookup(peer)
    }
    await clock.advance(500)
    // One look-up of each, all in one event, apart from the few of a beat.
    expect(askedAt.length).toBeLessThan(120)
    expect(new Set(askedAt).size).toBeLessThanOrEqual(2)
    expect(presences(alice).filter((state) => state === 'offline')).toHaveLength(100)
  })

  test('[WC4] a watcher that reads too slowly is told the latest state of its peers when it reads again', async () => {
    const { a, b, clock } = await two()
    const alice = await arrive(a, 'alice')
    const bob = await arrive(b, 'bob')
    for (const name of ['bob', 'carol', 'dora']) await a.watchers.watch(alice.connection.id, peerNamed(name))
    const before = clock.pending
    alice.connection.full = true
    await b.end(bob.connection.id, 'dropped')
    await arrive(b, 'carol')
    await arrive(b, 'dora')
    await settled()
    await b.leave((await arrive(b, 'bob')).session)
    await clock.advance(1_000)
    a.watchers.unwatch(alice.connection.id, peerNamed('dora'))
    alice.connection.full = false
    await clock.advance(250)
    expect(alice.connection.sent).toMatchObject([
      { type: 'presence', name: 'bob', state: 'offline' },
      { type: 'presence', name: 'carol', state: 'online' },
    ])
    expect(clock.pending).toBeLessThanOrEqual(before)
  })

  test('changes of a watched peer are told in order', async () => {
    const { a, b } = await two()
    const alice = await arrive(a, 'alice')
    expect(await a.watchers.watch(alice.connection.id, peerNamed('bob'))).toEqual({ state: 'offline' })
    const bob = await arrive(b, 'bob')
    await settled()
    await b.end(bob.connection.id, 'dropped')
    await settled()
    await arrive(b, 'bob')
    await settled()
    const states = alice.connection.sent.flatMap((message) =>
      message.type === 'presence' ? [message.state] : [],
    )
    expect(states).toEqual(['online', 'away', 'online'])
  })
})
