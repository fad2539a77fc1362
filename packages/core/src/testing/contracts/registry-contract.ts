import { describe, expect, test } from 'vitest'
import type { Lease, Lost } from '../../names/registry.js'
import type { Given, MakeCluster } from '../cluster.js'
import {
  LONG_GRACE_MS,
  claimed,
  flushed,
  newConnectionId,
  newNodeId,
  newPeer,
  newSecretHash,
  ownerAt as owner,
} from '../cluster.js'
import { registryReassertions } from './registry-reassertions.js'
import { registryTimesContract } from './registry-times-contract.js'
import { twoNodes } from './two-nodes.js'

/** The contract of `Registry`, for every implementation. */
export function registryContract(name: string, makeCluster: MakeCluster): void {
  describe(`registry contract: ${name}`, () => {
    const given = twoNodes(makeCluster)
    claims(given)
    changes(given)
    registryReassertions(given)
    ends(given)
  })
  registryTimesContract(name, makeCluster)
}

function claims(given: () => Given): void {
  test('a free name goes to the first claim, and the lease has its data', async () => {
    const { a, b } = given()
    const peer = newPeer()
    const secretHash = newSecretHash()
    const by = owner(a)
    const result = await a.backend.registry.claim(peer, by, { secretHash, policy: 'refuse' })
    if (!result.ok) return expect.unreachable()
    expect(result.lease).toMatchObject({ peer, ...by, state: 'online', secretHash })
    expect(result.lease.since).toBe(result.lease.epoch)
    expect(result.replaced).toBeUndefined()
    expect(await b.backend.registry.lookup(peer)).toEqual(result.lease)
  })

  test('a look-up of a free name finds nothing', async () => {
    const { a } = given()
    expect(await a.backend.registry.lookup(newPeer())).toBeUndefined()
  })

  test('names are compared byte for byte, and may contain any printable character', async () => {
    const { a, b } = given()
    const base = newPeer()
    for (const tail of ['}', '{x}', ' ', 'é', 'e\u0301', '名前', '🙂', '\\', '"', '%', 'A', 'a']) {
      const peer = newPeer(base.slice(base.indexOf('/') + 1).slice(0, 8))
      const lease = await claimed(a, peerWith(peer, tail))
      expect(await b.backend.registry.lookup(lease.peer)).toEqual(lease)
    }
  })

  test('[I1] [CALL1] exactly one of 50 concurrent claims of one name wins, and it is the holder', async () => {
    const { a, b, cluster } = given()
    const nodes = [a, b, await cluster.join()]
    for (let round = 0; round < 5; round++) {
      const peer = newPeer()
      const results = await Promise.all(
        Array.from({ length: 50 }, (_, i) => {
          const at = nodes[i % nodes.length] ?? a
          return at.backend.registry.claim(peer, owner(at), { secretHash: newSecretHash(), policy: 'refuse' })
        }),
      )
      const won = results.filter((result) => result.ok)
      expect(won).toHaveLength(1)
      const holder = await a.backend.registry.lookup(peer)
      expect(won[0]?.lease).toEqual(holder)
      for (const result of results) if (!result.ok) expect(result.holder).toEqual(holder)
    }
  })

  test('[I2] the epoch grows with each claim, across reclaim, replace, release and flush', async () => {
    const { a, b, cluster } = given()
    const peer = newPeer()
    const secretHash = newSecretHash()
    const epochs: number[] = []
    let lease = await claimed(a, peer, { secretHash })
    epochs.push(lease.epoch)
    for (const at of [b, a, b]) {
      lease = await claimed(at, peer, { secretHash })
      epochs.push(lease.epoch)
    }
    lease = await claimed(a, peer, { policy: 'replace' })
    epochs.push(lease.epoch)
    for (let i = 0; i < 5; i++) {
      await a.backend.registry.release(lease)
      lease = await claimed(b, peer)
      epochs.push(lease.epoch)
    }
    await flushed(cluster, a, b)
    lease = await claimed(a, peer, { presented: lease.epoch })
    epochs.push(lease.epoch)
    expect(epochs).toEqual([...new Set(epochs)].sort((x, y) => x - y))
  })

  test('[I2] the new epoch exceeds the presented one, but by no more than a minute ahead of the registry’s clock', async () => {
    const { a } = given()
    const peer = newPeer()
    const first = await claimed(a, peer)
    const ahead = first.epoch + 30_000
    const second = await claimed(a, peer, { secretHash: first.secretHash, presented: ahead })
    expect(second.epoch).toBe(ahead + 1)
    const third = await claimed(a, newPeer(), { presented: Number.MAX_SAFE_INTEGER })
    expect(third.epoch - first.epoch).toBeGreaterThan(59_000)
    expect(third.epoch - first.epoch).toBeLessThan(70_000)
  })

  test('[I8] the same secret takes the name back at once, from any node, and keeps its since', async () => {
    const { a, b } = given()
    const first = await claimed(a, newPeer())
    const by = owner(b)
    const options = { secretHash: first.secretHash, policy: 'refuse' } as const
    const result = await b.backend.registry.claim(first.peer, by, options)
    if (!result.ok) return expect.unreachable()
    expect(result.replaced).toEqual(first)
    expect(result.lease).toMatchObject({ ...by, since: first.since, state: 'online' })
    expect(result.lease.epoch).toBeGreaterThan(first.epoch)
  })

  test('[I8] the same secret takes an away name back', async () => {
    const { a, b } = given()
    const first = await claimed(a, newPeer())
    await a.backend.registry.suspend(first, LONG_GRACE_MS)
    const again = await claimed(b, first.peer, { secretHash: first.secretHash })
    expect(again).toMatchObject({ since: first.since, state: 'online', node: b.node })
  })

  test('[I9] another secret takes neither an online nor an away name', async () => {
    const { a, b } = given()
    const held = await claimed(a, newPeer())
    const options = { secretHash: newSecretHash(), policy: 'refuse' } as const
    expect(await b.backend.registry.claim(held.peer, owner(b), options)).toEqual({ ok: false, holder: held })
    await a.backend.registry.suspend(held, LONG_GRACE_MS)
    const away = await b.backend.registry.claim(held.peer, owner(b), options)
    expect(away).toEqual({ ok: false, holder: { ...held, state: 'away' } })
  })

  test('[I9] the policy replace takes an online name, for another holder', async () => {
    const { a, b } = given()
    const held = await claimed(a, newPeer())
    const result = await b.backend.registry.claim(held.peer, owner(b), {
      secretHash: newSecretHash(),
      policy: 'replace',
    })
    if (!result.ok) return expect.unreachable()
    expect(result.replaced).toEqual(held)
    expect(result.lease.since).toBe(result.lease.epoch)
    expect(result.lease.since).toBeGreaterThan(held.since)
  })

  test('two holders of one name never share a since', async () => {
    const { a, b } = given()
    const peer = newPeer()
    const sinces = new Set<number>()
    for (let i = 0; i < 20; i++) {
      const lease = await claimed(i % 2 ? a : b, peer)
      sinces.add(lease.since)
      await (i % 2 ? b : a).backend.registry.release(lease)
    }
    expect(sinces.size).toBe(20)
  })
}

function peerWith(peer: Lease['peer'], tail: string): Lease['peer'] {
  return `${peer}${tail}` as Lease['peer']
}

function changes(given: () => Given): void {
  test('[I3] only the holder can renew, and others are told who holds the name', async () => {
    const { a, b } = given()
    const old = await claimed(a, newPeer())
    const gone = await claimed(a, newPeer())
    const kept = await claimed(a, newPeer())
    const now = await claimed(b, old.peer, { secretHash: old.secretHash })
    await a.backend.registry.release(gone)
    const lost = await a.backend.registry.renew([old, gone, kept])
    expect(lost).toEqual([
      { lease: old, reason: 'another', holder: now },
      { lease: gone, reason: 'absent' },
    ] satisfies Lost[])
    expect(await a.backend.registry.lookup(gone.peer)).toBeUndefined()
  })

  test.each(['epoch', 'node', 'connection'] as const)(
    '[I4] a lease with another %s changes nothing',
    async (field) => {
      const { a, b } = given()
      const held = await claimed(a, newPeer())
      const other = { epoch: held.epoch - 1, node: newNodeId(), connection: newConnectionId() }
      const late = { ...held, [field]: other[field] }
      await a.backend.registry.release(late)
      await a.backend.registry.suspend(late, 1)
      expect(await b.backend.registry.lookup(held.peer)).toEqual(held)
      expect(await a.backend.registry.renew([late])).toEqual([
        { lease: late, reason: 'another', holder: held },
      ])
    },
  )

  test('[I4] a late disconnect does not remove a peer that came back', async () => {
    const { a, b } = given()
    const before = await claimed(a, newPeer())
    const after = await claimed(a, before.peer, { secretHash: before.secretHash })
    await a.backend.registry.suspend(before, 1)
    await a.backend.registry.release(before)
    expect(await b.backend.registry.lookup(before.peer)).toEqual(after)
  })

  test('[I3] a renewal never brings a name back', async () => {
    const { a, b } = given()
    const lease = await claimed(a, newPeer())
    await a.backend.registry.release(lease)
    expect(await a.backend.registry.renew([lease])).toEqual([{ lease, reason: 'absent' }])
    expect(await b.backend.registry.lookup(lease.peer)).toBeUndefined()
  })

  test('[I3] a renewal of an away name succeeds and leaves it away', async () => {
    const { a, b } = given()
    const lease = await claimed(a, newPeer())
    await a.backend.registry.suspend(lease, LONG_GRACE_MS)
    expect(await a.backend.registry.renew([lease])).toEqual([])
    expect(await b.backend.registry.lookup(lease.peer)).toEqual({ ...lease, state: 'away' })
  })

  test('[I6] every node can ask when the grace of an away name ends', async () => {
    const { a, b } = given()
    const lease = await claimed(a, newPeer())
    await a.backend.registry.suspend(lease, LONG_GRACE_MS)
    const ms = await b.backend.registry.graceEndsIn(lease.peer)
    expect(ms).toBeGreaterThan(LONG_GRACE_MS - 10_000)
    expect(ms).toBeLessThanOrEqual(LONG_GRACE_MS)
    expect(await b.backend.registry.graceEndsIn(newPeer())).toBe(0)
  })

  test('renew takes an empty list, and a long one', async () => {
    const { a } = given()
    expect(await a.backend.registry.renew([])).toEqual([])
    const leases = await Promise.all(Array.from({ length: 500 }, () => claimed(a, newPeer())))
    expect(await a.backend.registry.renew(leases)).toEqual([])
  })
}

function ends(given: () => Given): void {
  test('[I6] a release frees the name at once', async () => {
    const { a, b } = given()
    const lease = await claimed(a, newPeer())
    await a.backend.registry.release(lease)
    expect(await b.backend.registry.lookup(lease.peer)).toBeUndefined()
    expect((await claimed(b, lease.peer)).node).toBe(b.node)
  })

  test('[I6] the online names of a node that left are free at once, and its away names go on waiting', async () => {
    const { cluster } = given()
    const [left, other] = [await cluster.join(), await cluster.join()]
    const online = await claimed(left, newPeer())
    const away = await claimed(left, newPeer())
    await left.backend.registry.suspend(away, LONG_GRACE_MS)
    await left.backend.nodes.leave()
    await other.backend.nodes.beat()
    expect((await claimed(other, online.peer)).node).toBe(other.node)
    const options = { secretHash: newSecretHash(), policy: 'refuse' } as const
    const refused = await other.backend.registry.claim(away.peer, owner(other), options)
    expect(refused).toEqual({ ok: false, holder: { ...away, state: 'away' } })
    expect(await claimed(other, away.peer, { secretHash: away.secretHash })).toMatchObject({
      since: away.since,
    })
  })

  test('[I7] a restarted node has a new identity and none of the former leases', async () => {
    const { cluster } = given()
    const before = await cluster.join()
    const lease = await claimed(before, newPeer())
    const restarted = await cluster.join()
    expect(restarted.node).not.toBe(before.node)
    const mine = { ...lease, node: restarted.node }
    expect(await restarted.backend.registry.renew([mine])).toEqual([
      { lease: mine, reason: 'another', holder: lease },
    ])
    await restarted.backend.registry.release(mine)
    expect(await restarted.backend.registry.lookup(lease.peer)).toEqual(lease)
  })
}
