import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Lease, Lost } from '../registry.js'
import { winsOver } from '../registry.js'
import type { ContractCluster, ContractNode, MakeCluster } from './cluster.js'
import {
  LONG_GRACE_MS,
  claimed,
  newConnectionId,
  newNodeId,
  newPeer,
  newSecretHash,
  until,
} from './cluster.js'

/** What every registry must do, whatever holds its names. */
export function registryContract(name: string, makeCluster: MakeCluster): void {
  describe(`registry contract: ${name}`, () => {
    let cluster: ContractCluster
    let a: ContractNode
    let b: ContractNode
    beforeAll(async () => {
      cluster = await makeCluster()
      a = await cluster.join()
      b = await cluster.join()
    })
    afterAll(() => cluster.stop())
    const given = (): Given => ({ cluster, a, b })
    claims(given)
    changes(given)
    reassertions(given)
    ends(given)
  })
}

interface Given {
  cluster: ContractCluster
  a: ContractNode
  b: ContractNode
}

const owner = (at: ContractNode): Pick<Lease, 'node' | 'connection'> => ({
  node: at.node,
  connection: newConnectionId(),
})

/** Nodes that have just beaten, so that the lapse of an earlier test is none of this one's. */
async function fresh(cluster: ContractCluster): Promise<[ContractNode, ContractNode]> {
  return [await cluster.join(), await cluster.join()]
}

function claims(given: () => Given): void {
  test('a free name goes to the first who claims it, and the lease says so', async () => {
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

  test('a name that nobody holds is not found', async () => {
    const { a } = given()
    expect(await a.backend.registry.lookup(newPeer())).toBeUndefined()
  })

  test('names are compared byte for byte, and any printable one will do', async () => {
    const { cluster, a } = given()
    const [c] = await fresh(cluster)
    const base = newPeer()
    for (const tail of ['}', '{x}', ' ', 'é', 'e\u0301', '名前', '🙂', '\\', '"', '%', 'A', 'a']) {
      const peer = newPeer(base.slice(base.indexOf('/') + 1).slice(0, 8))
      const lease = await claimed(a, peerWith(peer, tail))
      expect(await c.backend.registry.lookup(lease.peer)).toEqual(lease)
    }
  })

  test('[I1] of 50 claims of one name at once exactly one wins, and it is the holder', async () => {
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
    await cluster.flush()
    lease = await claimed(a, peer, { presented: lease.epoch })
    epochs.push(lease.epoch)
    expect(epochs).toEqual([...new Set(epochs)].sort((x, y) => x - y))
  })

  test('[I2] a presented epoch is exceeded, yet none can push the epoch over a minute ahead', async () => {
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

  test('[I9] another secret does not take a live name, nor an away one', async () => {
    const { a, b } = given()
    const held = await claimed(a, newPeer())
    const options = { secretHash: newSecretHash(), policy: 'refuse' } as const
    expect(await b.backend.registry.claim(held.peer, owner(b), options)).toEqual({ ok: false, holder: held })
    await a.backend.registry.suspend(held, LONG_GRACE_MS)
    const away = await b.backend.registry.claim(held.peer, owner(b), options)
    expect(away).toEqual({ ok: false, holder: { ...held, state: 'away' } })
  })

  test('[I9] the policy replace takes a live name, as another holder', async () => {
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
  test('[I3] only the holder renews; anyone else learns what became of the name', async () => {
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

  test('[I3] a renewal keeps a name beyond its TTL', async () => {
    const { a, b, cluster } = given()
    const lease = await claimed(a, newPeer())
    const start = cluster.now()
    await until(cluster, 'two TTLs have passed', async () => {
      expect(await a.backend.registry.renew([lease])).toEqual([])
      await cluster.pass(100)
      return cluster.now() - start > 2 * cluster.times.nameTtlMs
    })
    expect(await b.backend.registry.lookup(lease.peer)).toEqual(lease)
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

  test('[I4] a late disconnect does not erase a peer that came back', async () => {
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

  test('renewing nothing, or very many, is one call', async () => {
    const { a } = given()
    expect(await a.backend.registry.renew([])).toEqual([])
    const leases = await Promise.all(Array.from({ length: 500 }, () => claimed(a, newPeer())))
    expect(await a.backend.registry.renew(leases)).toEqual([])
  })
}

function reassertions(given: () => Given): void {
  const nothing = { lost: [], evicted: [] }

  test('[I10] after a flush a lease is written back unchanged', async () => {
    const { a, b, cluster } = given()
    const leases = await Promise.all(Array.from({ length: 100 }, () => claimed(a, newPeer())))
    await cluster.flush()
    expect(await b.backend.registry.lookup(leases[0]?.peer ?? newPeer())).toBeUndefined()
    expect(await a.backend.registry.reassert(leases)).toEqual(nothing)
    for (const lease of leases) expect(await b.backend.registry.lookup(lease.peer)).toEqual(lease)
  })

  test('[I10] a lease that is still there stays as it is', async () => {
    const { a } = given()
    const online = await claimed(a, newPeer())
    const away = await claimed(a, newPeer())
    await a.backend.registry.suspend(away, LONG_GRACE_MS)
    expect(await a.backend.registry.reassert([online, away])).toEqual(nothing)
    expect(await a.backend.registry.lookup(online.peer)).toEqual(online)
    expect((await a.backend.registry.lookup(away.peer))?.state).toBe('away')
  })

  test('[I10] against a later claim the older since wins, and the loser is named', async () => {
    const { a, b, cluster } = given()
    const older = await claimed(a, newPeer())
    await cluster.flush()
    await cluster.pass(20)
    const newer = await claimed(b, older.peer)
    expect(newer.since).toBeGreaterThan(older.since)
    expect(await a.backend.registry.reassert([older])).toEqual({ lost: [], evicted: [newer] })
    expect(await b.backend.registry.lookup(older.peer)).toEqual(older)
    expect(await b.backend.registry.reassert([newer])).toEqual({
      lost: [{ lease: newer, reason: 'another', holder: older }],
      evicted: [],
    })
  })

  test('[I11] re-assertions end the same in whichever order they arrive', async () => {
    const { a, cluster } = given()
    const peer = newPeer()
    const base = (await claimed(a, peer)).epoch
    const rivals = [
      { since: base + 5, epoch: base + 5 },
      { since: base + 3, epoch: base + 3 },
      { since: base + 3, epoch: base + 9 },
      { since: base + 8, epoch: base + 20 },
    ].map((stay): Lease => ({ peer, ...owner(a), ...stay, state: 'online', secretHash: newSecretHash() }))
    const best = rivals.reduce((x, y) => (winsOver(x, y) ? x : y))
    for (const order of permutations(rivals)) {
      await cluster.flush()
      const evicted: Lease[] = []
      const lost: Lost[] = []
      for (const lease of order) {
        const outcome = await a.backend.registry.reassert([lease])
        evicted.push(...outcome.evicted)
        lost.push(...outcome.lost)
      }
      expect(await a.backend.registry.lookup(peer)).toEqual(best)
      const losers = new Set([...evicted, ...lost.map((one) => one.lease)].map((lease) => lease.connection))
      expect(losers).toEqual(
        new Set(rivals.filter((lease) => lease !== best).map((lease) => lease.connection)),
      )
    }
  })

  test('[I10] a node that lapsed takes back what is absent or still its own, as its new self', async () => {
    const { cluster, b } = given()
    const [a] = await fresh(cluster)
    const absent = await claimed(a, newPeer())
    await a.backend.registry.release(absent)
    await until(cluster, 'the tombstone is gone', () => cluster.pass(20).then(() => true))
    const own = await claimed(a, newPeer())
    const taken = await claimed(a, newPeer())
    const holder = await claimed(b, taken.peer, { policy: 'replace' })
    const node = newNodeId()
    const moved = [absent, own, taken].map((lease): Lease => ({ ...lease, node }))
    const outcome = await a.backend.registry.reassert(moved, a.node)
    expect(outcome).toEqual({ lost: [{ lease: moved[2], reason: 'another', holder }], evicted: [] })
    expect(await b.backend.registry.lookup(absent.peer)).toEqual(moved[0])
    expect(await b.backend.registry.lookup(own.peer)).toEqual(moved[1])
    expect(await b.backend.registry.lookup(taken.peer)).toEqual(holder)
  })

  test('[I10] a node that lapsed does not win by an older since', async () => {
    const { a, b, cluster } = given()
    const older = await claimed(a, newPeer())
    await cluster.flush()
    await cluster.pass(20)
    const newer = await claimed(b, older.peer)
    const moved = { ...older, node: newNodeId() }
    expect(await a.backend.registry.reassert([moved], a.node)).toEqual({
      lost: [{ lease: moved, reason: 'another', holder: newer }],
      evicted: [],
    })
  })

  test('[I2] a name released after a later claim is not called back by an earlier stay', async () => {
    const { a, b } = given()
    const ahead = { presented: Number.MAX_SAFE_INTEGER }
    const early = await claimed(a, newPeer())
    const late = await claimed(b, early.peer, { secretHash: early.secretHash, ...ahead })
    await b.backend.registry.release(late)
    expect(await a.backend.registry.reassert([early])).toEqual({
      lost: [{ lease: early, reason: 'absent' }],
      evicted: [],
    })
    expect(await b.backend.registry.lookup(early.peer)).toBeUndefined()
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

  test('[I6] a suspended name is away, and free after its grace and not before', async () => {
    const { a, b, cluster } = given()
    const lease = await claimed(a, newPeer())
    const from = cluster.now()
    const graceMs = 400
    await a.backend.registry.suspend(lease, graceMs)
    expect(await b.backend.registry.lookup(lease.peer)).toEqual({ ...lease, state: 'away' })
    const isFree = async (): Promise<boolean> => (await b.backend.registry.lookup(lease.peer)) === undefined
    expect(await until(cluster, 'the grace has passed', isFree, { from })).toBeGreaterThanOrEqual(graceMs)
  })

  test('[I6] renewing a suspended name does not prolong its grace', async () => {
    const { a, b, cluster } = given()
    const lease = await claimed(a, newPeer())
    await a.backend.registry.suspend(lease, 300)
    const isFree = async (): Promise<boolean> => {
      await a.backend.registry.renew([lease])
      return (await b.backend.registry.lookup(lease.peer)) === undefined
    }
    expect(await until(cluster, 'the grace has passed', isFree)).toBeLessThan(cluster.times.nameTtlMs)
  })

  test('a name that nobody renews ends after its TTL and not before', async () => {
    const { a, b, cluster } = given()
    const from = cluster.now()
    const lease = await claimed(a, newPeer())
    const isFree = async (): Promise<boolean> => (await b.backend.registry.lookup(lease.peer)) === undefined
    const tookMs = await until(cluster, 'the TTL has passed', isFree, { from })
    expect(tookMs).toBeGreaterThanOrEqual(cluster.times.nameTtlMs)
  })

  test('[I6] the names of a killed node are free after node lease + grace, and not before', async () => {
    const { cluster } = given()
    const { nodeLeaseMs, graceMs, nameTtlMs } = cluster.times
    const [killed, other] = await fresh(cluster)
    const from = cluster.now()
    await killed.backend.nodes.beat()
    const lease = await claimed(killed, newPeer())
    let taken: Lease | undefined
    const take = async (): Promise<boolean> => {
      const options = { secretHash: newSecretHash(), policy: 'refuse' } as const
      const result = await other.backend.registry.claim(lease.peer, owner(other), options)
      if (result.ok) taken = result.lease
      return result.ok
    }
    const tookMs = await until(cluster, 'the name is free', take, { alive: [other], from })
    expect(tookMs).toBeGreaterThanOrEqual(nodeLeaseMs + graceMs)
    // It was the node's death that freed it, not the end of the name's own lease.
    expect(tookMs).toBeLessThan(nameTtlMs)
    expect(taken?.epoch).toBeGreaterThan(lease.epoch)
    expect(taken?.since).toBeGreaterThan(lease.since)
    expect(await other.backend.registry.lookup(lease.peer)).toEqual(taken)
  })

  test('[I6] the online names of a node that left are free at once; those that are away wait on', async () => {
    const { cluster } = given()
    const [left, other] = await fresh(cluster)
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

  test('[I7] a restarted node is another one and inherits nothing', async () => {
    const { cluster } = given()
    const [before] = await fresh(cluster)
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

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]]
  return items.flatMap((item, i) =>
    permutations(items.filter((_, j) => j !== i)).map((rest) => [item, ...rest]),
  )
}
