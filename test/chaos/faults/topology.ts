import type { Fault, Scene } from '../scene.js'
import { TIMES, allOnline, heal, inject, race, wait } from '../scene.js'
import type { RedisCluster } from '@peerage/test-support/redis-cluster.js'
import type { SentinelSetup } from '@peerage/test-support/redis-sentinel.js'

function sentinelOf(scene: Scene): SentinelSetup {
  if (scene.stage.store.kind !== 'sentinel') throw new Error('not on Sentinel')
  return scene.stage.store.sentinel
}

function clusterOf(scene: Scene): RedisCluster {
  if (scene.stage.store.kind !== 'cluster') throw new Error('not on Cluster')
  return scene.stage.store.cluster
}

/** The slot of some peer's name, and who owns it. */
async function somebodysSlot(
  scene: Scene,
): Promise<{ slot: number; owner: Awaited<ReturnType<RedisCluster['owner']>> }> {
  const cluster = clusterOf(scene)
  const { name } = scene.random.pick(scene.traffic.actors)
  const slot = await cluster.slot(`pg:{default/${name}}:lease`)
  return { slot, owner: await cluster.owner(slot) }
}

export const topologyFaults: readonly Fault[] = [
  {
    id: 'F8-kill',
    title: 'Sentinel failover by SIGKILL',
    stage: { topology: 'sentinel' },
    outageP99Ms: 6_000,
    watchMs: 20_000,
    run: async (scene) => {
      const sentinel = sentinelOf(scene)
      let old = await sentinel.master()
      await inject(scene, 'F8-kill', 'master', async () => {
        old = await sentinel.killMaster()
      })
      await sentinel.masterAfter(old)
      await allOnline(scene)
      await wait(3_000)
      await heal(scene, 'F8-kill', 'old master', () => old.restart())
    },
  },
  {
    id: 'F8-stop',
    title: 'Sentinel failover by SIGSTOP',
    stage: { topology: 'sentinel' },
    outageP99Ms: 6_000,
    overlapMs: TIMES.nodeLease,
    watchMs: 20_000,
    run: async (scene) => {
      const sentinel = sentinelOf(scene)
      let old = await sentinel.master()
      await inject(scene, 'F8-stop', 'master', async () => {
        old = await sentinel.pauseMaster()
      })
      await sentinel.masterAfter(old)
      await allOnline(scene)
      await wait(3_000)
      await heal(scene, 'F8-stop', 'old master', () => old.resume())
    },
  },
  {
    id: 'F9-move',
    title: 'Cluster: live slot move',
    stage: { topology: 'cluster' },
    outageP99Ms: 1_000,
    watchMs: 8_000,
    run: async (scene) => {
      const cluster = clusterOf(scene)
      const { slot, owner } = await somebodysSlot(scene)
      const to = (await cluster.masters()).find((master) => master.id !== owner.id)
      if (!to) throw new Error('one master only')
      await inject(scene, 'F9-move', `slot ${slot}`, () => cluster.moveSlot(slot, to))
      await heal(scene, 'F9-move', `slot ${slot}`, () => {})
    },
  },
  {
    id: 'F9-failover',
    title: 'Cluster: failover in good order',
    stage: { topology: 'cluster' },
    outageP99Ms: 1_000,
    watchMs: 10_000,
    run: async (scene) => {
      const { owner } = await somebodysSlot(scene)
      await inject(scene, 'F9-failover', 'a master', async () => {
        await clusterOf(scene).failover(owner)
      })
      await heal(scene, 'F9-failover', 'a master', () => {})
    },
  },
  {
    id: 'F9-kill',
    title: 'Cluster: master SIGKILL',
    stage: { topology: 'cluster' },
    outageP99Ms: 6_000,
    watchMs: 20_000,
    run: async (scene) => {
      const cluster = clusterOf(scene)
      const { slot, owner } = await somebodysSlot(scene)
      await inject(scene, 'F9-kill', `owner of slot ${slot}`, () => owner.server.kill())
      await cluster.ownerAfter(slot, owner)
      await allOnline(scene)
      await heal(scene, 'F9-kill', 'old master', () => owner.server.restart({ empty: false }))
    },
  },
  {
    id: 'F10',
    title: 'a stale old master comes back',
    stage: { topology: 'sentinel' },
    outageP99Ms: 8_000,
    // The store had two primaries for a while: the loser is evicted within a lease.
    overlapMs: TIMES.nodeLease,
    watchMs: 30_000,
    run: async (scene) => {
      const sentinel = sentinelOf(scene)
      let old = await sentinel.master()
      await inject(scene, 'F10', 'master', async () => {
        old = await sentinel.pauseMaster()
      })
      await sentinel.masterAfter(old)
      await allOnline(scene)
      await heal(scene, 'F10', 'old master, still a master to itself', () => old.resume())
      let single = 0
      for (let i = 0; i < 20; i++)
        if ((await race(scene, `stale-${scene.random.between(0, 1e9)}`)) === 1) single++
      scene.note('names with exactly one winner meanwhile', single, { atLeast: 20 })
    },
  },
]
