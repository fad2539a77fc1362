import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Lease } from '../../names/registry.js'
import type { ContractCluster, MakeCluster } from '../cluster.js'
import { claimed, newPeer, newSecretHash, ownerAt, quick, until } from '../cluster.js'

/** Tests of when names end by themselves, on a cluster with short leases. Part of registryContract. */
export function registryTimesContract(name: string, makeCluster: MakeCluster): void {
  describe(`registry contract, times: ${name}`, () => {
    let cluster: ContractCluster
    /** A cluster whose names last far longer than its node leases, even if the machine pauses. */
    let lasting: ContractCluster
    beforeAll(async () => {
      cluster = await makeCluster(quick)
      lasting = await makeCluster({ ...quick, times: { ...quick.times, nameTtlMs: 30_000 } })
    })
    afterAll(async () => {
      await cluster.stop()
      await lasting.stop()
    })

    test('[I3] renewals keep a name beyond its TTL', async () => {
      const [a, b] = [await cluster.join(), await cluster.join()]
      const lease = await claimed(a, newPeer())
      const start = cluster.now()
      await until(cluster, 'two TTLs have passed', async () => {
        expect(await a.backend.registry.renew([lease])).toEqual([])
        await cluster.pass(100)
        return cluster.now() - start > 2 * cluster.times.nameTtlMs
      })
      expect(await b.backend.registry.lookup(lease.peer)).toEqual(lease)
    })

    test('[I6] a suspended name is away, and free after its grace and not before', async () => {
      const [a, b] = [await cluster.join(), await cluster.join()]
      const lease = await claimed(a, newPeer())
      const from = cluster.now()
      const graceMs = 400
      await a.backend.registry.suspend(lease, graceMs)
      expect(await b.backend.registry.lookup(lease.peer)).toEqual({ ...lease, state: 'away' })
      const isFree = async (): Promise<boolean> => (await b.backend.registry.lookup(lease.peer)) === undefined
      expect(await until(cluster, 'the grace has passed', isFree, { from })).toBeGreaterThanOrEqual(
        graceMs - cluster.slackMs,
      )
    })

    test('[I6] a renewal of a suspended name does not prolong its grace', async () => {
      const [a, b] = [await cluster.join(), await cluster.join()]
      const lease = await claimed(a, newPeer())
      await a.backend.registry.suspend(lease, 300)
      const isFree = async (): Promise<boolean> => {
        await a.backend.registry.renew([lease])
        return (await b.backend.registry.lookup(lease.peer)) === undefined
      }
      expect(await until(cluster, 'the grace has passed', isFree)).toBeLessThan(cluster.times.nameTtlMs)
    })

    test('a name that nobody renews ends after its TTL and not before', async () => {
      const [a, b] = [await cluster.join(), await cluster.join()]
      const from = cluster.now()
      const lease = await claimed(a, newPeer())
      const isFree = async (): Promise<boolean> => (await b.backend.registry.lookup(lease.peer)) === undefined
      const tookMs = await until(cluster, 'the TTL has passed', isFree, { from })
      expect(tookMs).toBeGreaterThanOrEqual(cluster.times.nameTtlMs - cluster.slackMs)
    })

    test('[CALL1] [I6] the names of a killed node are free after node lease + grace and not before', async () => {
      const { nodeLeaseMs, graceMs, nameTtlMs } = lasting.times
      const [other, killed] = [await lasting.join(), await lasting.join()]
      const from = lasting.now()
      await killed.backend.nodes.beat()
      const lease = await claimed(killed, newPeer())
      let taken: Lease | undefined
      const take = async (): Promise<boolean> => {
        const options = { secretHash: newSecretHash(), policy: 'refuse' } as const
        const result = await other.backend.registry.claim(lease.peer, ownerAt(other), options)
        if (result.ok) taken = result.lease
        return result.ok
      }
      const tookMs = await until(lasting, 'the name is free', take, { alive: [other], from })
      expect(tookMs).toBeGreaterThanOrEqual(nodeLeaseMs + graceMs - lasting.slackMs)
      // The name was freed because its node was dead, not because its own lease ended.
      expect(tookMs).toBeLessThan(nameTtlMs)
      expect(taken?.epoch).toBeGreaterThan(lease.epoch)
      expect(taken?.since).toBeGreaterThan(lease.since)
      expect(await other.backend.registry.lookup(lease.peer)).toEqual(taken)
    })
  })
}
