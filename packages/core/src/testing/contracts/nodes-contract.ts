import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ContractCluster, MakeCluster } from '../cluster.js'
import { newNodeId, patient, quick, until } from '../cluster.js'
import { RegistryUnavailable } from '../../names/registry.js'

/** The contract of `Nodes`, for every implementation. */
export function nodesContract(name: string, makeCluster: MakeCluster): void {
  describe(`nodes contract: ${name}`, () => {
    let cluster: ContractCluster
    let calm: ContractCluster
    beforeAll(async () => {
      cluster = await makeCluster(quick)
      calm = await makeCluster(patient)
    })
    afterAll(async () => {
      await cluster.stop()
      await calm.stop()
    })

    test('a node that beats is live to all nodes, itself included', async () => {
      const a = await calm.join()
      const b = await calm.join()
      await a.backend.nodes.beat()
      expect(a.backend.nodes.status(a.node)).toEqual({ state: 'live' })
      expect(a.backend.nodes.status(b.node)).toEqual({ state: 'live' })
      expect(b.backend.nodes.status(a.node)).toEqual({ state: 'live' })
      expect(a.backend.nodes.list()).toContainEqual({ node: b.node, status: { state: 'live' } })
    })

    test('a node that never existed is unknown', async () => {
      const a = await calm.join()
      expect(a.backend.nodes.status(newNodeId())).toEqual({ state: 'unknown' })
    })

    test('a beat extends the lease: a node that goes on beating stays alive', async () => {
      // A lease of many beats, so that a pause of the machine does not end it.
      const steady = await makeCluster({ ...quick, times: { ...quick.times, nodeLeaseMs: 3_000 } })
      try {
        const a = await steady.join()
        const start = steady.now()
        await until(steady, 'more than a lease has passed', async () => {
          expect(await a.backend.nodes.beat()).toBe('alive')
          await steady.pass(steady.times.beatMs)
          return steady.now() - start > 1.3 * steady.times.nodeLeaseMs
        })
        expect(await a.backend.nodes.beat()).toBe('alive')
        expect(a.backend.nodes.status(a.node)).toEqual({ state: 'live' })
      } finally {
        await steady.stop()
      }
    })

    test('[I6] a node that does not beat is dead when its lease has ended and not before, and deadForMs counts from then', async () => {
      // The node whose lease is measured joins last, so that its lease does not end too early.
      const b = await cluster.join()
      const a = await cluster.join()
      const from = cluster.now()
      await a.backend.nodes.beat()
      const latest = cluster.now()
      await b.backend.nodes.beat()
      const isDead = (): boolean => b.backend.nodes.status(a.node).state === 'dead'
      const tookMs = await until(cluster, 'a is dead', isDead, { alive: [b], from })
      expect(tookMs).toBeGreaterThanOrEqual(cluster.times.nodeLeaseMs - cluster.slackMs)
      await until(cluster, 'some time', () => cluster.pass(300).then(() => true), { alive: [b] })
      await b.backend.nodes.beat()
      const status = b.backend.nodes.status(a.node)
      if (status.state !== 'dead') return expect.unreachable()
      expect(status.deadForMs).toBeGreaterThanOrEqual(300 - cluster.slackMs)
      // Its lease ended nodeLease after its last beat, which lies between `from` and `latest`.
      expect(status.deadForMs).toBeLessThanOrEqual(
        cluster.now() - from - cluster.times.nodeLeaseMs + cluster.slackMs,
      )
      expect(latest).toBeGreaterThanOrEqual(from)
    })

    test('no beat revives a node whose lease has lapsed', async () => {
      const a = await cluster.join()
      const b = await cluster.join()
      await cluster.pass(cluster.times.nodeLeaseMs + 100)
      expect(await a.backend.nodes.beat()).toBe('lapsed')
      expect(await a.backend.nodes.beat()).toBe('lapsed')
      await b.backend.nodes.beat()
      expect(b.backend.nodes.status(a.node).state).toBe('dead')
    })

    test('[I7] with a new identity the process is alive, and its former identity stays dead', async () => {
      const a = await cluster.join()
      const b = await cluster.join()
      await cluster.pass(cluster.times.nodeLeaseMs + 100)
      expect(await a.backend.nodes.beat()).toBe('lapsed')
      const next = newNodeId()
      a.backend.identify(next)
      expect(await a.backend.nodes.beat()).toBe('alive')
      b.backend.identify(newNodeId())
      await b.backend.nodes.beat()
      expect(b.backend.nodes.status(next)).toEqual({ state: 'live' })
      expect(b.backend.nodes.status(a.node).state).toBe('dead')
    })

    test('[I10] after a flush a node within its lease is written back by its next beat', async () => {
      const a = await calm.join()
      const b = await calm.join()
      await calm.flush()
      expect(await a.backend.nodes.beat()).toBe('alive')
      await b.backend.nodes.beat()
      expect(b.backend.nodes.status(a.node)).toEqual({ state: 'live' })
    })

    test('after a flush a node whose lease has ended meanwhile has lapsed', async () => {
      const a = await cluster.join()
      await cluster.pass(cluster.times.nodeLeaseMs + 100)
      await cluster.flush()
      expect(await a.backend.nodes.beat()).toBe('lapsed')
    })

    test('[I6] a node that leaves is dead at once, past its grace, and cannot beat again', async () => {
      const a = await calm.join()
      const b = await calm.join()
      await a.backend.nodes.leave()
      await b.backend.nodes.beat()
      const status = b.backend.nodes.status(a.node)
      if (status.state !== 'dead') return expect.unreachable()
      expect(status.deadForMs).toBeGreaterThan(calm.times.graceMs)
      expect(await a.backend.nodes.beat()).toBe('lapsed')
    })

    announcements(makeCluster, () => calm)

    test('[I16] a dead node is forgotten when none of its leases can remain, and not before', async () => {
      const b = await cluster.join()
      const a = await cluster.join()
      const { nodeLeaseMs, nameTtlMs, graceMs } = cluster.times
      const from = cluster.now()
      await a.backend.nodes.beat()
      await b.backend.nodes.beat()
      const isForgotten = (): boolean => b.backend.nodes.status(a.node).state === 'unknown'
      const tookMs = await until(cluster, 'a is forgotten', isForgotten, {
        alive: [b],
        from,
        deadlineMs: 15_000,
      })
      expect(tookMs).toBeGreaterThan(nodeLeaseMs + nameTtlMs + graceMs - cluster.slackMs)
    })
  })
}

/** Tests of announcements. `calmCluster` returns a cluster in which no lease ends. */
function announcements(makeCluster: MakeCluster, calmCluster: () => ContractCluster): void {
  test('an announcement can be read at once under its node’s id, and a later one replaces it', async () => {
    const [a, b, c] = [await calmCluster().join(), await calmCluster().join(), await calmCluster().join()]
    await a.backend.nodes.announce('of a')
    await b.backend.nodes.announce('of b ✓ {"x":"\\n"}')
    for (const { backend } of [a, b, c]) {
      expect(await backend.nodes.announced(a.node)).toBe('of a')
      expect(await backend.nodes.announced(b.node)).toBe('of b ✓ {"x":"\\n"}')
      expect(await backend.nodes.announced(c.node)).toBeUndefined()
      expect(await backend.nodes.announced(newNodeId())).toBeUndefined()
    }
    await a.backend.nodes.announce('')
    expect(await b.backend.nodes.announced(a.node)).toBe('')
    await a.backend.nodes.announce('later')
    await a.backend.nodes.beat()
    expect(await b.backend.nodes.announced(a.node)).toBe('later')
  })

  test('an announcement of 1 KiB is accepted, and one byte more is not', async () => {
    const a = await calmCluster().join()
    const full = 'é'.repeat(512)
    await a.backend.nodes.announce(full)
    await expect(a.backend.nodes.announce(`${full}x`)).rejects.toThrow(TypeError)
    await a.backend.nodes.beat()
    expect(await a.backend.nodes.announced(a.node)).toBe(full)
  })

  test('announce rejects without an identity', async () => {
    const backend = await calmCluster().backend(
      () => undefined,
      () => undefined,
    )
    await expect(backend.nodes.announce('nobody’s')).rejects.toThrow(RegistryUnavailable)
  })

  test('[I10] after a flush an announcement is back with the next beat', async () => {
    const [a, b] = [await calmCluster().join(), await calmCluster().join()]
    await a.backend.nodes.announce('of a')
    await calmCluster().flush()
    expect(await b.backend.nodes.announced(a.node)).toBeUndefined()
    expect(await a.backend.nodes.beat()).toBe('alive')
    const isBack = async (): Promise<boolean> => (await b.backend.nodes.announced(a.node)) === 'of a'
    await until(calmCluster(), 'the text is back', isBack)
  })

  test('an announcement lasts while the beats go on, and one node lease longer', async () => {
    // A lease of many beats, so that a pause of the machine does not end it.
    const steady = await makeCluster({ ...quick, times: { ...quick.times, nodeLeaseMs: 3_000 } })
    try {
      const [a, b] = [await steady.join(), await steady.join()]
      await a.backend.nodes.announce('of a')
      const start = steady.now()
      const isLate = (): boolean => steady.now() - start > 1.3 * steady.times.nodeLeaseMs
      await until(steady, 'more than a lease has passed', isLate, { alive: [a] })
      expect(await b.backend.nodes.announced(a.node)).toBe('of a')
      const from = steady.now()
      await a.backend.nodes.announce('the last')
      const isGone = async (): Promise<boolean> => (await b.backend.nodes.announced(a.node)) === undefined
      const tookMs = await until(steady, 'it is gone', isGone, { from })
      expect(tookMs).toBeGreaterThanOrEqual(steady.times.nodeLeaseMs - steady.slackMs)
    } finally {
      await steady.stop()
    }
  })

  test('[I7] with a new identity a node announces nothing until it announces again', async () => {
    const [a, b] = [await calmCluster().join(), await calmCluster().join()]
    await a.backend.nodes.announce('of the former')
    const next = newNodeId()
    a.backend.identify(next)
    await calmCluster().flush()
    expect(await a.backend.nodes.beat()).toBe('alive')
    // The same node asks after the beat, because that beat could have written the announcement.
    expect(await a.backend.nodes.announced(next)).toBeUndefined()
    expect(await a.backend.nodes.announced(a.node)).toBeUndefined()
    await a.backend.nodes.announce('of the next')
    expect(await b.backend.nodes.announced(next)).toBe('of the next')
    expect(await b.backend.nodes.announced(a.node)).toBeUndefined()
  })

  test('[I16] the announcement of a node that leaves is gone at once', async () => {
    const [a, b] = [await calmCluster().join(), await calmCluster().join()]
    await a.backend.nodes.announce('of a')
    await b.backend.nodes.announce('of b')
    await a.backend.nodes.leave()
    expect(await b.backend.nodes.announced(a.node)).toBeUndefined()
    expect(await a.backend.nodes.beat()).toBe('lapsed')
    expect(await a.backend.nodes.announced(a.node)).toBeUndefined()
    expect(await b.backend.nodes.announced(b.node)).toBe('of b')
  })
}
