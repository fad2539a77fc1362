import { expect, test } from 'vitest'
import type { Node } from '../node.js'
import { RegistryUnavailable } from './registry.js'
import type { OnlineSession } from '../sessions/sessions.js'
import { settled } from '@peerage/test-support/fake-clock.js'
import type { TestCluster } from '../testing/nodes.js'
import { addNode, cutOf, cutOff, two } from '../testing/nodes.js'
import type { Arrival } from '../testing/peers.js'
import { arrive, peerNamed } from '../testing/peers.js'

/** Lets an arrival wait for as long as a claim may take, and returns the outcome. */
async function arriveLate(made: TestCluster, node: Node, name: string, secret: string): Promise<Arrival> {
  const arriving = arrive(node, name, { secret })
  await made.clock.advance(made.times.commandMs)
  return arriving
}

function isOnline(node: Node, session: OnlineSession): boolean {
  return node.sessions.get(session.connection.id)?.state === 'online'
}

test('[SET1] [I9] [I10] nobody takes a name that its node has yet to write back', async () => {
  const made = await two()
  const { a, b, cuts, clock, cluster, times } = made
  const alice = await arrive(a, 'alice')
  cutOff(cuts, a, true)
  cluster.flush()
  await clock.advance(times.beatMs)
  const thief = await arriveLate(made, b, 'alice', 'guess')
  expect(thief.outcome).toEqual({ ok: false, code: 'registry-unavailable' })
  cutOff(cuts, a, false)
  await clock.advance(2 * times.beatMs)
  expect((await arrive(b, 'alice', { secret: 'guess' })).outcome).toEqual({ ok: false, code: 'name-taken' })
  expect(await b.lookup([peerNamed('alice')])).toEqual([
    { state: 'online', since: alice.session.lease.since },
  ])
  // Free names can be claimed again.
  expect((await arrive(b, 'bob')).outcome.ok).toBe(true)
})

test('[I10] a waiting claim is answered as soon as the other nodes have settled', async () => {
  const made = await two()
  const { a, b, clock, cluster, cuts } = made
  await arrive(a, 'alice')
  cutOff(cuts, a, true)
  cluster.flush()
  await settled()
  const arriving = arrive(b, 'bob')
  cutOff(cuts, a, false)
  await clock.advance(made.times.commandMs - 1)
  expect((await arriving).outcome.ok).toBe(true)
})

test('[I10] a node that never returns delays claims for its lease, not for the grace', async () => {
  const made = await two()
  const { a, b, clock, cluster, cuts, times } = made
  const alice = await arrive(a, 'alice')
  cutOff(cuts, a, true)
  cluster.flush()
  await clock.advance(times.nodeLeaseMs - times.beatMs - times.commandMs)
  expect((await arriveLate(made, b, 'alice', 'other')).outcome.ok).toBe(false)
  await clock.advance(times.beatMs)
  expect((await arrive(b, 'alice', { secret: 'other' })).outcome.ok).toBe(true)
  expect(times.beatMs).toBeLessThan(times.graceMs)
  // The node was fenced by then, so its peer has to claim again.
  cutOff(cuts, a, false)
  await clock.advance(2 * times.beatMs)
  expect(alice.connection.closed).toBe('lease-lost')
})

test('[SET1] [I10] live nodes that cannot write their names back delay claims for the length of their leases', async () => {
  const made = await two()
  const { a, b, clock, cluster, cuts, times } = made
  // Node c starts between two beats of the other nodes, so its lease also ends between their beats.
  await clock.advance(times.beatMs / 2)
  const c = await addNode(made)
  await clock.advance(times.beatMs)
  for (const [i, node] of [a, c].entries()) {
    await arrive(node, `held ${i}`)
    const { registry } = cutOf(cuts, node).backend
    registry.reassert = () => Promise.reject(new RegistryUnavailable('this shard is down'))
  }
  cluster.flush()
  await clock.advance(times.nodeLeaseMs - 2 * times.beatMs)
  expect((await arriveLate(made, b, 'bob', 'bob')).outcome.ok).toBe(false)
  await clock.advance(2 * times.beatMs)
  expect(a.fenced).toBe(false)
  expect((await arrive(b, 'bob')).outcome.ok).toBe(true)
  // Node a accepts claims as well.
  expect((await arrive(a, 'carol')).outcome.ok).toBe(true)
})

test('[SET4] [I9] [I10] a node that holds a name refuses other claims at once, and writes the name back', async () => {
  const { a, clock, cluster, times } = await two()
  const alice = await arrive(a, 'alice')
  cluster.flush()
  // No node has beaten yet.
  expect((await arrive(a, 'alice', { secret: 'guess' })).outcome).toEqual({ ok: false, code: 'name-taken' })
  expect(isOnline(a, alice.session)).toBe(true)
  expect(await a.router.lookup(peerNamed('alice'))).toEqual(alice.session.lease)
  await clock.advance(2 * times.beatMs)
  expect(alice.connection.closed).toBeUndefined()
})

test('[SET4] however often strangers claim a name, its node writes it back at most once a second', async () => {
  const { a, clock, cluster, cuts } = await two()
  const alice = await arrive(a, 'alice')
  const { registry } = cutOf(cuts, a).backend
  const reassert = registry.reassert.bind(registry)
  let writes = 0
  registry.reassert = (...args) => {
    writes++
    return reassert(...args)
  }
  const guesses = Array.from({ length: 20 }, (_, i) => arrive(a, 'alice', { secret: `guess ${i}` }))
  for (const { outcome } of await Promise.all(guesses))
    expect(outcome).toEqual({ ok: false, code: 'name-taken' })
  expect(writes).toBe(1)
  cluster.flush()
  await clock.advance(1_000)
  expect((await arrive(a, 'alice', { secret: 'guess' })).outcome).toEqual({ ok: false, code: 'name-taken' })
  expect(writes).toBeGreaterThan(1)
  expect(await a.router.lookup(peerNamed('alice'))).toEqual(alice.session.lease)
})

test('[SET4] the next claim repeats a write that failed', async () => {
  const { a, cuts } = await two()
  await arrive(a, 'alice')
  cutOff(cuts, a, true)
  expect((await arrive(a, 'alice', { secret: 'guess' })).outcome.ok).toBe(false)
  cutOff(cuts, a, false)
  expect((await arrive(a, 'alice', { secret: 'guess' })).outcome).toEqual({ ok: false, code: 'name-taken' })
})

test('[I8] [I10] claims of known names are judged as usual while nodes settle', async () => {
  const made = await two()
  const { a, b, cluster, cuts } = made
  const [alice, bob] = [await arrive(a, 'alice'), await arrive(b, 'bob')]
  const { since } = bob.session.lease
  cutOff(cuts, a, true)
  cluster.flush()
  await settled()
  // b has written bob back, and waits for a.
  expect((await arrive(b, 'bob', { secret: 'guess' })).outcome).toEqual({ ok: false, code: 'name-taken' })
  const again = await arrive(b, 'bob')
  expect(again.session.lease.since).toBe(since)
  expect(alice.connection.closed).toBeUndefined()
})

test('[SET6] [I10] a name that waits for its holder is written back as away, and goes on waiting', async () => {
  const made = await two()
  const { a, b, clock, cluster, times } = made
  const alice = await arrive(a, 'alice')
  const { since } = alice.session.lease
  await a.end(alice.connection.id, 'dropped')
  await clock.advance(times.graceMs / 2)
  cluster.flush()
  expect((await arrive(a, 'alice', { secret: 'guess' })).outcome).toEqual({ ok: false, code: 'name-taken' })
  await clock.advance(times.beatMs)
  expect(await b.lookup([peerNamed('alice')])).toEqual([{ state: 'away', since }])
  expect((await arrive(b, 'alice', { secret: 'guess' })).outcome).toEqual({ ok: false, code: 'name-taken' })
  expect((await arrive(b, 'alice')).session.lease.since).toBe(since)
})

test('[I6] [I10] a name that was written back as away waits only until its grace ends', async () => {
  const { a, b, clock, cluster, times } = await two()
  const alice = await arrive(a, 'alice')
  await a.end(alice.connection.id, 'dropped')
  await clock.advance(times.graceMs - 2 * times.beatMs)
  cluster.flush()
  await clock.advance(2 * times.beatMs - 1)
  expect((await arrive(b, 'alice', { secret: 'other' })).outcome.ok).toBe(false)
  await clock.advance(1)
  expect((await arrive(b, 'alice', { secret: 'other' })).outcome.ok).toBe(true)
})

test('[I10] a name that its holder took back on another node is not written back', async () => {
  const { a, b, clock, cluster, times } = await two()
  const alice = await arrive(a, 'alice')
  await a.end(alice.connection.id, 'dropped')
  const again = await arrive(b, 'alice')
  await settled()
  await b.leave(again.session)
  cluster.flush()
  await clock.advance(2 * times.beatMs)
  expect(await a.lookup([peerNamed('alice')])).toEqual([{ state: 'offline' }])
  expect((await arrive(a, 'alice', { secret: 'other' })).outcome.ok).toBe(true)
})

test('[I10] a renewal that finds a younger holder writes the older lease back', async () => {
  const { a, b, clock, cluster, cuts, times } = await two()
  const alice = await arrive(a, 'alice')
  // No node notices the loss, as when one shard of a Redis Cluster is emptied.
  const { registry } = cutOf(cuts, b).backend
  await clock.advance(10)
  cluster.forget(peerNamed('alice'))
  const owner = { node: b.id, connection: alice.connection.id }
  const options = { secretHash: 'x'.repeat(22), policy: 'refuse' } as const
  expect((await registry.claim(peerNamed('alice'), owner, options)).ok).toBe(true)
  // Wait until each node has renewed all its leases once.
  await clock.advance(16 * times.beatMs)
  expect(alice.connection.closed).toBeUndefined()
  expect(await b.router.lookup(peerNamed('alice'))).toEqual(alice.session.lease)
})

test('[I10] a claim that won while the registry had forgotten the holder on the same node is undone', async () => {
  const { a, clock, cluster, cuts } = await two()
  const { registry } = cutOf(cuts, a).backend
  const claim = registry.claim.bind(registry)
  let first: Arrival | undefined
  // The stranger's claim is pending while the holder's claim is answered. Then the registry loses the name.
  registry.claim = async (...args) => {
    registry.claim = claim
    first = await arrive(a, 'alice')
    // Another refused claim has just caused a write of the lease.
    await arrive(a, 'alice', { secret: 'another guess' })
    await clock.advance(10)
    cluster.forget(peerNamed('alice'))
    return claim(...args)
  }
  const thief = await arrive(a, 'alice', { secret: 'guess' })
  expect(thief.outcome).toEqual({ ok: false, code: 'name-taken' })
  expect(first?.connection.closed).toBeUndefined()
  expect(await a.router.lookup(peerNamed('alice'))).toEqual(first?.session.lease)
})

test('[I10] a claim that won while the registry had forgotten the holder on the same node is undone, even if the registry then fails', async () => {
  const { a, clock, cluster, cuts, times } = await two()
  const { registry } = cutOf(cuts, a).backend
  const [claim, reassert] = [registry.claim.bind(registry), registry.reassert.bind(registry)]
  let first: Arrival | undefined
  registry.claim = async (...args) => {
    registry.claim = claim
    first = await arrive(a, 'alice')
    await clock.advance(10)
    cluster.forget(peerNamed('alice'))
    registry.reassert = () => {
      registry.reassert = reassert
      return Promise.reject(new RegistryUnavailable('just now'))
    }
    return claim(...args)
  }
  const thief = await arrive(a, 'alice', { secret: 'guess' })
  expect(thief.outcome).toEqual({ ok: false, code: 'registry-unavailable' })
  expect(await a.router.lookup(peerNamed('alice'))).toBeUndefined()
  await clock.advance(17 * times.beatMs)
  expect(first?.connection.closed).toBeUndefined()
  expect(await a.router.lookup(peerNamed('alice'))).toEqual(first?.session.lease)
})

test('[SET5] [I10] a peer that the registry knows by an earlier claim claims again and learns its older since', async () => {
  const { a, b, clock, cluster, cuts, times } = await two()
  const ghost = await arrive(a, 'alice')
  const { since } = ghost.session.lease
  cutOff(cuts, a, true)
  cluster.forget(peerNamed('alice'))
  await clock.advance(10)
  const alice = await arrive(b, 'alice')
  expect(alice.session.lease.since).toBeGreaterThan(since)
  cutOff(cuts, a, false)
  await clock.advance(17 * times.beatMs)
  expect(ghost.connection.closed).toBe('superseded')
  expect(alice.connection.closed).toBe('lease-lost')
  expect((await arrive(b, 'alice')).session.lease.since).toBe(since)
})

test.each(['away', 'online'])(
  '[I9] [SET5] a session that is %s on a node without the registry does not take back a name that its holder released elsewhere',
  async (state) => {
    const { a, b, clock, cuts, times } = await two()
    const alice = await arrive(a, 'alice')
    if (state === 'away') await a.end(alice.connection.id, 'dropped')
    cutOff(cuts, a, true)
    const moved = await arrive(b, 'alice')
    await b.leave(moved.session)
    const stranger = await arrive(b, 'alice', { secret: 'another' })
    await clock.advance(2 * times.beatMs)
    cutOff(cuts, a, false)
    await clock.advance(17 * times.beatMs)
    expect(isOnline(b, stranger.session)).toBe(true)
    expect(await a.lookup([peerNamed('alice')])).toEqual([
      { state: 'online', since: stranger.session.lease.since },
    ])
  },
)

test('[I9] [SET5] an old lease from a snapshot does not win against the node’s current holder of the name', async () => {
  const { a, b, clock, cluster, cuts, times } = await two()
  const { session } = await arrive(a, 'alice')
  await a.leave(session)
  const next = await arrive(a, 'alice', { secret: 'another' })
  cluster.flush()
  await cutOf(cuts, b).backend.registry.reassert([session.lease])
  await clock.advance(17 * times.beatMs)
  expect(isOnline(a, next.session)).toBe(true)
  expect(await b.lookup([peerNamed('alice')])).toEqual([{ state: 'online', since: next.session.lease.since }])
})

test('[SET3] a node that finds an empty store, or other nodes that have yet to settle, says once that it waits', async () => {
  const made = await two()
  const { a, clock, cluster, cuts, times, events } = made
  events.length = 0
  await addNode(made)
  expect(events).not.toContain('settling')
  cutOff(cuts, a, true)
  cluster.flush()
  const late = await addNode(made)
  await clock.advance(times.beatMs)
  expect(late.readiness()).toMatchObject({ ready: false, reason: 'settling' })
  expect(events.filter((event) => event === 'settling')).toEqual(['settling'])
  cutOff(cuts, a, false)
  await clock.advance(2 * times.beatMs)
  expect(late.readiness()).toEqual({ ready: true })
  expect(events.filter((event) => event === 'settling')).toEqual(['settling'])
})

test('[SET3] [I10] a node that starts while others settle waits for them', async () => {
  const made = await two()
  const { a, clock, cluster, cuts, times } = made
  await arrive(a, 'alice')
  cutOff(cuts, a, true)
  cluster.flush()
  const c = await addNode(made)
  expect(c.readiness()).toEqual({
    ready: false,
    reason: 'settling',
    why: 'waiting until the other nodes have written their names back',
  })
  const thief = await arriveLate(made, c, 'alice', 'guess')
  expect(thief.outcome).toEqual({ ok: false, code: 'registry-unavailable' })
  cutOff(cuts, a, false)
  await clock.advance(times.beatMs + times.commandMs + 200)
  expect(c.readiness()).toEqual({ ready: true })
  expect((await arrive(c, 'alice', { secret: 'guess' })).outcome).toEqual({ ok: false, code: 'name-taken' })
})
