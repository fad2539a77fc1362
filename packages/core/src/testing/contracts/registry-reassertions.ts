import { expect, test } from 'vitest'
import type { Lease, Lost } from '../../names/registry.js'
import { winsOver } from '../../names/registry.js'
import type { Given } from '../cluster.js'
import {
  LONG_GRACE_MS,
  claimed,
  flushed,
  newNodeId,
  newPeer,
  newSecretHash,
  ownerAt as owner,
  until,
} from '../cluster.js'

/** Tests of how names are written back after a flush, a failover or a lapse. Part of registryContract. */
export function registryReassertions(given: () => Given): void {
  const nothing = { lost: [], evicted: [] }

  test('[I10] after a flush a lease is written back unchanged', async () => {
    const { a, b, cluster } = given()
    const leases = await Promise.all(Array.from({ length: 100 }, () => claimed(a, newPeer())))
    await flushed(cluster, a, b)
    expect(await b.backend.registry.lookup(leases[0]?.peer ?? newPeer())).toBeUndefined()
    expect(await a.backend.registry.reassert(leases)).toEqual(nothing)
    for (const lease of leases) expect(await b.backend.registry.lookup(lease.peer)).toEqual(lease)
  })

  test('[I10] re-asserting a lease that is still there changes nothing', async () => {
    const { a } = given()
    const online = await claimed(a, newPeer())
    const away = await claimed(a, newPeer())
    await a.backend.registry.suspend(away, LONG_GRACE_MS)
    expect(await a.backend.registry.reassert([online, away])).toEqual(nothing)
    expect(await a.backend.registry.lookup(online.peer)).toEqual(online)
    expect((await a.backend.registry.lookup(away.peer))?.state).toBe('away')
  })

  test('[I10] against a later claim the older since wins, and the loser is returned', async () => {
    const { a, b, cluster } = given()
    const older = await claimed(a, newPeer())
    await flushed(cluster, a, b)
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

  test('[I10] a holder that was replaced never comes back, in whichever order leases are written back', async () => {
    const { a, b, cluster } = given()
    for (const order of ['old first', 'new first']) {
      await cluster.pass(20)
      const old = await claimed(a, newPeer())
      await cluster.pass(20)
      const now = await claimed(b, old.peer, { policy: 'replace' })
      await flushed(cluster, a, b)
      // This third holder is older than the replacing holder and younger than the replaced one.
      const stray = {
        ...now,
        ...owner(a),
        since: now.since - 10,
        epoch: now.epoch - 10,
        secretHash: newSecretHash(),
      }
      delete stray.rank
      for (const [at, lease] of order === 'old first'
        ? ([
            [a, old],
            [a, stray],
            [b, now],
          ] as const)
        : ([
            [b, now],
            [a, stray],
            [a, old],
          ] as const))
        await at.backend.registry.reassert([lease])
      expect(await a.backend.registry.lookup(old.peer), order).toEqual(now)
      expect(await a.backend.registry.renew([old])).toEqual([{ lease: old, reason: 'another', holder: now }])
    }
  })

  test('[I10] of two claims of one peer, the later one keeps the name with the older since', async () => {
    const { a, b, cluster } = given()
    for (const order of ['old first', 'new first']) {
      const secretHash = newSecretHash()
      const old = await claimed(a, newPeer(), { secretHash })
      await flushed(cluster, a, b)
      await cluster.pass(20)
      const now = await claimed(b, old.peer, { secretHash })
      expect(now.since).toBeGreaterThan(old.since)
      if (order === 'old first') await flushed(cluster, a, b)
      const merged = { ...now, since: old.since }
      const lost = { lease: old, reason: 'another', holder: merged }
      const renamed = { lease: now, reason: 'another', holder: merged }
      if (order === 'old first') {
        expect(await a.backend.registry.reassert([old])).toEqual(nothing)
        expect(await b.backend.registry.reassert([now])).toEqual({ lost: [renamed], evicted: [] })
      } else expect(await a.backend.registry.reassert([old])).toEqual({ lost: [lost], evicted: [] })
      expect(await a.backend.registry.lookup(old.peer), order).toEqual(merged)
      expect(await b.backend.registry.renew([now])).toEqual([renamed])
      expect(await b.backend.registry.renew([merged])).toEqual([])
    }
  })

  test('[I10] an away name is written back as away, for the rest of its grace', async () => {
    const { a, b, cluster } = given()
    const lease = await claimed(a, newPeer())
    await flushed(cluster, a, b)
    const away = { ...lease, state: 'away' } as const
    expect(await a.backend.registry.reassert([away], { graceMs: 50 })).toEqual(nothing)
    expect(await b.backend.registry.lookup(lease.peer)).toEqual(away)
    await until(
      cluster,
      'its grace ends',
      async () => (await b.backend.registry.lookup(lease.peer)) === undefined,
    )
  })

  test('[I10] with absent: leave, an absent name is not taken, and a known name is judged as usual', async () => {
    const { a, b } = given()
    const absent = 'leave'
    const options = { secretHash: newSecretHash(), policy: 'refuse', absent } as const
    const free = newPeer()
    expect(await a.backend.registry.claim(free, owner(a), options)).toEqual({ ok: false, holder: undefined })
    expect(await a.backend.registry.lookup(free)).toBeUndefined()
    const held = await claimed(a, newPeer())
    expect(await b.backend.registry.claim(held.peer, owner(b), options)).toEqual({ ok: false, holder: held })
    const again = await claimed(b, held.peer, { secretHash: held.secretHash, absent })
    expect(again.since).toBe(held.since)
    const replaced = await claimed(a, held.peer, { policy: 'replace', absent })
    expect(replaced.rank).toBe(held.since)
  })

  test('[I11] re-assertions have the same result in any order', async () => {
    const { a, cluster } = given()
    const peer = newPeer()
    const base = (await claimed(a, peer)).epoch
    const rivals = [
      { since: base + 5, epoch: base + 5 },
      { since: base + 3, epoch: base + 3 },
      { since: base + 3, epoch: base + 9 },
      { since: base + 8, epoch: base + 20 },
    ].map((claim): Lease => ({ peer, ...owner(a), ...claim, state: 'online', secretHash: newSecretHash() }))
    const best = rivals.reduce((x, y) => (winsOver(x, y) ? x : y))
    for (const order of permutations(rivals)) {
      await flushed(cluster, a)
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

  test('[I10] a lapsed node takes back names that are absent or still its own, under its new identity', async () => {
    const { cluster, a, b } = given()
    const absent = await claimed(a, newPeer())
    await a.backend.registry.release(absent)
    await until(cluster, 'the tombstone is gone', () => cluster.pass(20).then(() => true))
    const own = await claimed(a, newPeer())
    const taken = await claimed(a, newPeer())
    const holder = await claimed(b, taken.peer, { policy: 'replace' })
    const node = newNodeId()
    const moved = [absent, own, taken].map((lease): Lease => ({ ...lease, node }))
    const outcome = await a.backend.registry.reassert(moved, { formerNode: a.node })
    expect(outcome).toEqual({ lost: [{ lease: moved[2], reason: 'another', holder }], evicted: [] })
    expect(await b.backend.registry.lookup(absent.peer)).toEqual(moved[0])
    expect(await b.backend.registry.lookup(own.peer)).toEqual(moved[1])
    expect(await b.backend.registry.lookup(taken.peer)).toEqual(holder)
  })

  test('[I10] a lapsed node does not win by an older since', async () => {
    const { a, b, cluster } = given()
    const older = await claimed(a, newPeer())
    await flushed(cluster, a, b)
    await cluster.pass(20)
    const newer = await claimed(b, older.peer)
    const moved = { ...older, node: newNodeId() }
    expect(await a.backend.registry.reassert([moved], { formerNode: a.node })).toEqual({
      lost: [{ lease: moved, reason: 'another', holder: newer }],
      evicted: [],
    })
  })

  test('[I2] a name released by a later claim is not brought back by an earlier lease', async () => {
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

  test('[I10] a name that was released elsewhere is not brought back by a lease that another node still knows', async () => {
    const { a, b, cluster } = given()
    const early = await claimed(a, newPeer())
    const late = await claimed(b, early.peer, { secretHash: early.secretHash })
    await cluster.pass(20)
    await b.backend.registry.release(late)
    const away: Lease = { ...early, state: 'away' }
    const moved: Lease = { ...early, node: newNodeId() }
    const absent = (lease: Lease) => ({ lost: [{ lease, reason: 'absent' }], evicted: [] })
    expect(await a.backend.registry.reassert([early])).toEqual(absent(early))
    expect(await a.backend.registry.reassert([away])).toEqual(absent(away))
    expect(await a.backend.registry.reassert([moved], { formerNode: a.node })).toEqual(absent(moved))
    expect(await b.backend.registry.lookup(early.peer)).toBeUndefined()
  })

  test('[I9] [I10] the next holder of a released name keeps it, whatever leases of the former holder nodes still know', async () => {
    const { a, b, cluster } = given()
    for (const wrote of ['nothing', 'the old lease', 'the holder']) {
      const early = await claimed(a, newPeer())
      const late = await claimed(b, early.peer, { secretHash: early.secretHash })
      await cluster.pass(20)
      await b.backend.registry.release(late)
      const holder = await claimed(b, early.peer)
      expect(holder.since).toBe(holder.epoch)
      const ghosts: Lease[] = [early, { ...early, state: 'away' }, late]
      if (wrote !== 'nothing') await flushed(cluster, a, b)
      if (wrote === 'the old lease') await a.backend.registry.reassert([early])
      if (wrote !== 'nothing') await b.backend.registry.reassert([holder])
      for (const lease of ghosts)
        expect(await a.backend.registry.reassert([lease]), wrote).toEqual({
          lost: [{ lease, reason: 'another', holder }],
          evicted: [],
        })
      expect(await a.backend.registry.lookup(early.peer)).toEqual(holder)
      await b.backend.registry.release(holder)
      expect((await a.backend.registry.reassert([early])).lost).toEqual([{ lease: early, reason: 'absent' }])
    }
  })

  test('[I10] a peer that left and came again is another holder, whatever earlier leases nodes still know', async () => {
    const { a, b, cluster } = given()
    for (const first of ['the old lease', 'the holder']) {
      const early = await claimed(a, newPeer())
      const { peer, secretHash } = early
      const late = await claimed(b, peer, { secretHash })
      await cluster.pass(20)
      await b.backend.registry.release(late)
      const again = await claimed(b, peer, { secretHash })
      expect(again.since).toBe(again.epoch)
      if (first === 'the old lease') {
        await flushed(cluster, a, b)
        expect(await a.backend.registry.reassert([early])).toEqual(nothing)
        expect(await b.backend.registry.reassert([again])).toEqual(nothing)
      }
      const lost = [{ lease: early, reason: 'another', holder: again }]
      expect(await a.backend.registry.reassert([early])).toEqual({ lost, evicted: [] })
      expect(await a.backend.registry.lookup(peer)).toEqual(again)
    }
  })

  test('[I10] a replaced holder does not come back when the holder that replaced it has left', async () => {
    const { a, b, cluster } = given()
    const old = await claimed(a, newPeer())
    const now = await claimed(b, old.peer, { policy: 'replace' })
    await cluster.pass(20)
    await b.backend.registry.release(now)
    expect((await a.backend.registry.reassert([old])).lost).toEqual([{ lease: old, reason: 'absent' }])
    const next = await claimed(b, old.peer)
    expect((await a.backend.registry.reassert([old])).evicted).toEqual([])
    expect(await a.backend.registry.lookup(old.peer)).toEqual(next)
  })
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]]
  return items.flatMap((item, i) =>
    permutations(items.filter((_, j) => j !== i)).map((rest) => [item, ...rest]),
  )
}
