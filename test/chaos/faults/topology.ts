import type { Fault, Context } from '../context.js'
import { TIMES, allOnline, heal, inject, race, wait } from '../context.js'
import type { RedisCluster } from '@peerage/test-support/redis-cluster.js'
import type { SentinelSetup } from '@peerage/test-support/redis-sentinel.js'

function sentinelOf(context: Context): SentinelSetup {
  if (context.testbed.store.kind !== 'sentinel') throw new Error('not on Sentinel')
  return context.testbed.store.sentinel
}

function clusterOf(context: Context): RedisCluster {
  if (context.testbed.store.kind !== 'cluster') throw new Error('not on Cluster')
  return context.testbed.store.cluster
}

/** The slot of a random peer's name, and the node that owns it. */
async function slotOfSomePeer(
  context: Context,
): Promise<{ slot: number; owner: Awaited<ReturnType<RedisCluster['owner']>> }> {
  const cluster = clusterOf(context)
  const { name } = context.random.pick(context.traffic.actors)
  const slot = await cluster.slot(`pg:{default/${name}}:lease`)
  return { slot, owner: await cluster.owner(slot) }
}

export const topologyFaults: readonly Fault[] = [
  {
    id: 'F8-kill',
    title: 'Sentinel failover by SIGKILL',
    testbed: { topology: 'sentinel' },
    outageP99Ms: 6_000,
    watchMs: 20_000,
    run: async (context) => {
      const sentinel = sentinelOf(context)
      let old = await sentinel.master()
      await inject(context, 'F8-kill', 'master', async () => {
        old = await sentinel.killMaster()
      })
      await sentinel.masterAfter(old)
      await allOnline(context)
      await wait(3_000)
      await heal(context, 'F8-kill', 'old master', () => old.restart())
    },
  },
  {
    id: 'F8-stop',
    title: 'Sentinel failover by SIGSTOP',
    testbed: { topology: 'sentinel' },
    outageP99Ms: 6_000,
    overlapMs: TIMES.nodeLease,
    watchMs: 20_000,
    run: async (context) => {
      const sentinel = sentinelOf(context)
      let old = await sentinel.master()
      await inject(context, 'F8-stop', 'master', async () => {
        old = await sentinel.pauseMaster()
      })
      await sentinel.masterAfter(old)
      await allOnline(context)
      await wait(3_000)
      await heal(context, 'F8-stop', 'old master', () => old.resume())
    },
  },
  {
    id: 'F9-move',
    title: 'Cluster: live slot move',
    testbed: { topology: 'cluster' },
    outageP99Ms: 1_000,
    watchMs: 8_000,
    run: async (context) => {
      const cluster = clusterOf(context)
      const { slot, owner } = await slotOfSomePeer(context)
      const to = (await cluster.masters()).find((master) => master.id !== owner.id)
      if (!to) throw new Error('the cluster has one master only')
      await inject(context, 'F9-move', `slot ${slot}`, () => cluster.moveSlot(slot, to))
      await heal(context, 'F9-move', `slot ${slot}`, () => {})
    },
  },
  {
    id: 'F9-failover',
    title: 'Cluster: orderly failover',
    testbed: { topology: 'cluster' },
    outageP99Ms: 1_000,
    watchMs: 10_000,
    run: async (context) => {
      const { owner } = await slotOfSomePeer(context)
      await inject(context, 'F9-failover', 'a master', async () => {
        await clusterOf(context).failover(owner)
      })
      await heal(context, 'F9-failover', 'a master', () => {})
    },
  },
  {
    id: 'F9-kill',
    title: 'Cluster: master SIGKILL',
    testbed: { topology: 'cluster' },
    outageP99Ms: 6_000,
    watchMs: 20_000,
    run: async (context) => {
      const cluster = clusterOf(context)
      const { slot, owner } = await slotOfSomePeer(context)
      await inject(context, 'F9-kill', `owner of slot ${slot}`, () => owner.server.kill())
      await cluster.ownerAfter(slot, owner)
      await allOnline(context)
      await heal(context, 'F9-kill', 'old master', () => owner.server.restart({ empty: false }))
    },
  },
  {
    id: 'F10',
    title: 'a stale former master returns',
    testbed: { topology: 'sentinel' },
    outageP99Ms: 8_000,
    // The store had two primaries for a while, so the losing holder is evicted within a lease.
    overlapMs: TIMES.nodeLease,
    watchMs: 30_000,
    run: async (context) => {
      const sentinel = sentinelOf(context)
      let old = await sentinel.master()
      await inject(context, 'F10', 'master', async () => {
        old = await sentinel.pauseMaster()
      })
      await sentinel.masterAfter(old)
      await allOnline(context)
      await heal(context, 'F10', 'old master, which still considers itself master', () => old.resume())
      let single = 0
      for (let i = 0; i < 20; i++)
        if ((await race(context, `stale-${context.random.between(0, 1e9)}`)) === 1) single++
      context.note('names with exactly one winner meanwhile', single, { atLeast: 20 })
    },
  },
]
