import { expect, test } from 'vitest'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { newConnectionId, newNodeId, newPeer } from '../testing/cluster.js'
import { memoryCluster } from './index.js'
import { defaultTimes } from '../times.js'

test('[I2] a holder after a restart of the process has another since than the holder before it', async () => {
  const peer = newPeer()
  const sinces: number[] = []
  for (const { startedAfterMs, claimsAfterMs } of [
    { startedAfterMs: 0, claimsAfterMs: 9_000 },
    // The monotonic clock of a new process begins anew.
    { startedAfterMs: 10_000, claimsAfterMs: 2_000 },
  ]) {
    const clock = new FakeClock()
    clock.jump(startedAfterMs)
    const backend = memoryCluster({ clock, times: defaultTimes }).backend()
    const node = newNodeId()
    backend.identify(node)
    await clock.advance(claimsAfterMs)
    const options = { secretHash: 'h'.repeat(22), policy: 'refuse' } as const
    const result = await backend.registry.claim(peer, { node, connection: newConnectionId() }, options)
    if (result.ok) sinces.push(result.lease.since)
  }
  expect(sinces).toHaveLength(2)
  expect(sinces[1]).toBeGreaterThan(sinces[0] ?? 0)
})
