import type { Peer } from '@peerage/protocol'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { PresenceChange } from '../../presence/presence.js'
import type { ContractCluster, ContractNode, MakeCluster } from '../cluster.js'
import { LONG_GRACE_MS, claimed, flushed, newNodeId, newPeer, patient, until } from '../cluster.js'

type Watcher = ContractNode & { changes: PresenceChange[] }

/** The contract of `Presence`, for every implementation. A notification may be lost, but must not be wrong. */
export function presenceContract(name: string, makeCluster: MakeCluster): void {
  describe(`presence contract: ${name}`, () => {
    let cluster: ContractCluster
    beforeAll(async () => {
      cluster = await makeCluster(patient)
    })
    afterAll(() => cluster.stop())

    const watcher = async (): Promise<Watcher> => {
      const node = await cluster.join()
      const changes: PresenceChange[] = []
      node.backend.presence.onChange((change) => changes.push(change))
      return { ...node, changes }
    }
    const of = (at: Watcher, peer: Peer): PresenceChange[] =>
      at.changes.filter((change) => change.peer === peer)
    const heard = (at: Watcher, peer: Peer, count: number): Promise<number> =>
      until(cluster, `${count} changes are heard`, () => of(at, peer).length >= count)
    // When this change has been heard, earlier ones on the same channel have been heard, or never will be.
    const settled = async (at: Watcher, peer: Peer, by: ContractNode): Promise<void> => {
      const lease = await claimed(by, peer, { policy: 'replace' })
      await until(cluster, 'the last change is heard', () => at.changes.some((c) => c.since === lease.since))
    }

    test('a watcher hears online, away, online and offline in the order of the changes', async () => {
      const [a, w] = [await cluster.join(), await watcher()]
      const peer = newPeer()
      await w.backend.presence.watch(peer)
      const first = await claimed(a, peer)
      await a.backend.registry.suspend(first, LONG_GRACE_MS)
      const again = await claimed(a, peer, { secretHash: first.secretHash })
      await a.backend.registry.release(again)
      await heard(w, peer, 4)
      const { since } = first
      expect(of(w, peer)).toEqual([
        { peer, state: 'online', since },
        { peer, state: 'away', since },
        { peer, state: 'online', since },
        { peer, state: 'offline', since },
      ])
    })

    test('another holder is a change of since', async () => {
      const [a, w] = [await cluster.join(), await watcher()]
      const peer = newPeer()
      await w.backend.presence.watch(peer)
      const first = await claimed(a, peer)
      const second = await claimed(a, peer, { policy: 'replace' })
      await heard(w, peer, 2)
      expect(of(w, peer).map((change) => change.since)).toEqual([first.since, second.since])
    })

    test('calls that change nothing cause no notification: a reclaim while online, a renewal, a late release', async () => {
      const [a, w] = [await cluster.join(), await watcher()]
      const peer = newPeer()
      const first = await claimed(a, peer)
      await w.backend.presence.watch(peer)
      const second = await claimed(a, peer, { secretHash: first.secretHash })
      await a.backend.registry.renew([second])
      await a.backend.registry.reassert([second])
      await a.backend.registry.release(first)
      await a.backend.registry.suspend(first, 1)
      await settled(w, peer, a)
      expect(of(w, peer)).toHaveLength(1)
    })

    test('[I10] writing a name back after a flush causes a notification', async () => {
      const [a, w] = [await cluster.join(), await watcher()]
      const lease = await claimed(a, newPeer())
      await w.backend.presence.watch(lease.peer)
      await cluster.flush()
      await a.backend.registry.reassert([lease])
      await heard(w, lease.peer, 1)
      expect(of(w, lease.peer)).toEqual([{ peer: lease.peer, state: 'online', since: lease.since }])
    })

    test('[I10] an eviction is a change of holder, and a move to a new NodeId causes no notification', async () => {
      const [a, b, w] = [await cluster.join(), await cluster.join(), await watcher()]
      const lease = await claimed(a, newPeer())
      await flushed(cluster, a, b)
      await cluster.pass(20)
      await claimed(b, lease.peer)
      await w.backend.presence.watch(lease.peer)
      await a.backend.registry.reassert([lease])
      await a.backend.registry.reassert([{ ...lease, node: newNodeId() }], {
        formerNode: a.node,
      })
      await settled(w, lease.peer, b)
      expect(of(w, lease.peer)[0]).toEqual({ peer: lease.peer, state: 'online', since: lease.since })
      expect(of(w, lease.peer)).toHaveLength(2)
    })

    test('releasing a name whose grace has already ended still notifies its watchers', async () => {
      const [a, w] = [await cluster.join(), await watcher()]
      const lease = await claimed(a, newPeer())
      await a.backend.registry.suspend(lease, 50)
      await w.backend.presence.watch(lease.peer)
      const isFree = async (): Promise<boolean> => (await a.backend.registry.lookup(lease.peer)) === undefined
      await until(cluster, 'the grace has passed', isFree)
      await a.backend.registry.release({ ...lease, state: 'away' })
      await heard(w, lease.peer, 1)
      expect(of(w, lease.peer)).toMatchObject([{ state: 'offline' }])
    })

    test('[I15] a change after watch resolves is heard', async () => {
      const [a, w] = [await cluster.join(), await watcher()]
      for (let i = 0; i < 50; i++) {
        const peer = newPeer()
        await w.backend.presence.watch(peer)
        await claimed(a, peer)
        await heard(w, peer, 1)
      }
    })

    test('only watched names are heard, watching twice is watching once, and unwatch ends it', async () => {
      const [a, w] = [await cluster.join(), await watcher()]
      const [peer, other] = [newPeer(), newPeer()]
      await Promise.all([w.backend.presence.watch(peer), w.backend.presence.watch(peer)])
      await claimed(a, other)
      await claimed(a, peer)
      await heard(w, peer, 1)
      expect(w.changes).toHaveLength(1)
      w.backend.presence.unwatch(peer)
      await claimed(a, peer, { policy: 'replace' })
      await w.backend.presence.watch(other)
      await settled(w, other, a)
      expect(of(w, peer)).toHaveLength(1)
      w.backend.presence.unwatch(peer)
    })

    test('a name can be unwatched and watched again at once', async () => {
      const [a, w] = [await cluster.join(), await watcher()]
      const peer = newPeer()
      await w.backend.presence.watch(peer)
      w.backend.presence.unwatch(peer)
      await w.backend.presence.watch(peer)
      await claimed(a, peer)
      await heard(w, peer, 1)
    })
  })
}
