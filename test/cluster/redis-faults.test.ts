import { RegistryUnavailable, defaultTimes } from '@peerage/core'
import type { RoomId } from '@peerage/protocol'
import { claimed, newPeer, newSecretHash, ownerAt, roomNamed } from '@peerage/test-support/testing/core.js'
import { describe, expect, test } from 'vitest'
import { topologies } from '@peerage/test-support/redis-topologies.js'
import { startTcpProxy } from '@peerage/test-support/tcp-proxy.js'
import { startMeddler } from './meddler.js'
import {
  ailments,
  becomeHealthy,
  doubts,
  eventually,
  isHealthy,
  numbered,
  reaches,
  settle,
  succeeds,
  useRedis,
  useTopology,
} from './redis-rig.js'

/** Added to each limit, for a busy machine. */
const BUSY_MS = 2_000

/** Longer than any test pauses Redis, so that no failover happens. redis-failover.test.ts covers failovers. */
const SILENCE_MS = 60_000

describe.each(topologies)('a faulty Redis, %s', (topology) => {
  const bench = useTopology(topology, { silenceMs: SILENCE_MS })

  test('[F5] after FLUSHALL the node reports a doubt within a beat, stays alive, and claims get greater epochs', async () => {
    const node = await bench.rig()
    await settle(node)
    const before = await claimed(node, newPeer())
    const beats = node.beats.length
    await bench.redis.flush()
    await eventually('a doubt', () => doubts(node).length > 0 && node.beats.length > beats)
    expect(new Set(node.beats.slice(beats))).toEqual(new Set(['alive']))
    expect(await node.backend.registry.reassert([before])).toEqual({ lost: [], evicted: [] })
    const after = await claimed(node, before.peer, { secretHash: before.secretHash })
    expect(after.epoch).toBeGreaterThan(before.epoch)
    expect(after.since).toBe(before.since)
  })

  test('[F5] after Redis is killed and restarted empty, names are written back, the bus works and epochs grow', async () => {
    const [a, b] = [await bench.rig(), await bench.rig()]
    await settle(a, b)
    const lease = await claimed(a, newPeer())
    await bench.redis.kill()
    await eventually('the outage is noticed', () => !isHealthy(a) && !isHealthy(b))
    await eventually('the reason is reported', () => ailments(a).at(-1)?.includes('ECONNREFUSED') ?? false)
    expect(await succeeds(a.backend.registry.lookup(lease.peer))).toBe(false)
    expect(await a.backend.bus.publish(b.node, numbered(0))).toBe('unavailable')
    await bench.redis.restart()
    const back = performance.now()
    await becomeHealthy(a, b)
    await eventually('the bus works again', () => reaches(a, b))
    expect(performance.now() - back).toBeLessThan(5_000 + BUSY_MS)
    expect(doubts(a)).toContain('connected to Redis again')
    expect(await a.backend.registry.reassert([lease])).toEqual({ lost: [], evicted: [] })
    expect(await b.backend.registry.lookup(lease.peer)).toEqual(lease)
    const next = await claimed(b, lease.peer, { secretHash: lease.secretHash })
    expect(next.epoch).toBeGreaterThan(lease.epoch)
  })

  test('[CALL2] [F6] after SIGSTOP every call is refused within a second, and all works again soon after SIGCONT', async () => {
    const [a, b] = [await bench.rig(), await bench.rig()]
    await becomeHealthy(a, b)
    const lease = await claimed(a, newPeer())
    await bench.redis.pause()
    const { registry, bus, mailbox } = a.backend
    const timed = async (action: Promise<unknown>): Promise<number> => {
      const start = performance.now()
      expect(await succeeds(action)).toBe(false)
      return performance.now() - start
    }
    const took = await Promise.all([
      timed(registry.lookup(lease.peer)),
      timed(registry.renew([lease])),
      timed(registry.release(lease)),
      timed(registry.claim(newPeer(), ownerAt(a), { secretHash: newSecretHash(), policy: 'refuse' })),
      timed(mailbox.take(lease.peer)),
      timed(a.backend.nodes.beat()),
      timed(a.backend.presence.watch(newPeer())),
    ])
    expect(Math.max(...took)).toBeLessThan(1_000 + BUSY_MS)
    expect(await bus.publish(b.node, numbered(0))).toBe('unavailable')
    await bench.redis.resume()
    const back = performance.now()
    await becomeHealthy(a, b)
    await eventually('the bus works again', () => reaches(a, b))
    expect(performance.now() - back).toBeLessThan(4_000 + BUSY_MS)
  })

  test('[CALL7] a process that was paused keeps its connections and gets its answers', async () => {
    const node = await bench.rig()
    await settle(node)
    const lease = await claimed(node, newPeer())
    const doubted = doubts(node).length
    for (let round = 0; round < 3; round++) {
      const answer = node.backend.registry.lookup(lease.peer)
      const published = node.backend.bus.publish(node.node, numbered(round))
      // Let the commands be sent before the process blocks.
      await new Promise((resolve) => setImmediate(resolve))
      const until = performance.now() + 1_500
      while (performance.now() < until);
      expect(await answer).toEqual(lease)
      expect(await published).toBe('sent')
    }
    expect(doubts(node)).toHaveLength(doubted)
    expect(node.errors).toEqual([])
  })

  test('[CALL4] [F6] only a bounded number of envelopes wait for a frozen Redis, and the rest are refused at once', async () => {
    const [a, b] = [await bench.rig(undefined, { busLimits: { envelopes: 1_000 } }), await bench.rig()]
    await becomeHealthy(a, b)
    await bench.redis.pause()
    const outcomes = { sent: 0, unavailable: 0 }
    const flood = Array.from({ length: 3_000 }, async (_, i) => {
      outcomes[await a.backend.bus.publish(b.node, numbered(i))]++
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(outcomes).toEqual({ sent: 0, unavailable: 2_000 })
    const start = performance.now()
    await Promise.all(flood)
    expect(outcomes).toEqual({ sent: 0, unavailable: 3_000 })
    expect(performance.now() - start).toBeLessThan(1_000 + BUSY_MS)
    await bench.redis.resume()
  })

  test('[CALL4] [F6] memory stays flat while a busy node publishes to a frozen Redis', async () => {
    const [a, b] = [await bench.rig(), await bench.rig()]
    await becomeHealthy(a, b)
    await bench.redis.pause()
    const before = process.memoryUsage().rss
    const results: Promise<string>[] = []
    for (let i = 0; i < 100_000; i++) {
      // A new string for each envelope, like real frames.
      const frame = String(i).padEnd(4_000, 'x')
      const message = { from: newPeer(), to: newPeer(), wire: 'native', kind: 'message', frame } as const
      results.push(a.backend.bus.publish(b.node, { type: 'deliver', epoch: i, hops: 0, message }))
    }
    await new Promise((resolve) => setImmediate(resolve))
    // Without the bound there would be 400 MB of frames, and as much again in the socket's buffer.
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024)
    expect(new Set(await Promise.all(results))).toContain('unavailable')
    await bench.redis.resume()
  })

  test('[CALL2] [F6] a command to a frozen Redis is not carried out long after its caller has given up', async () => {
    const node = await bench.rig()
    await settle(node)
    // Now Redis has the script and the node knows Redis's time, so a late claim cannot fail for another reason.
    await claimed(node, newPeer())
    await bench.redis.pause()
    const peer = newPeer()
    const claim = node.backend.registry.claim(peer, ownerAt(node), {
      secretHash: newSecretHash(),
      policy: 'refuse',
    })
    await expect(claim).rejects.toThrow(RegistryUnavailable)
    await new Promise((resolve) => setTimeout(resolve, defaultTimes.commandMs)) // the claim is now too old to be carried out
    await bench.redis.resume()
    await becomeHealthy(node)
    expect(await node.backend.registry.lookup(peer)).toBeUndefined()
  })

  // A few simultaneous joins once made the node unhealthy with `not subscribed to all channels yet`.
  test('[EAR6] new subscriptions of peers do not make a node unhealthy, and they work once they are confirmed', async () => {
    const node = await bench.rig()
    await settle(node)
    const before = node.events.length
    const rooms = Array.from({ length: 300 }, (_, i) => roomNamed(`hall-${i}`))
    const heard = new Set<string>()
    const listen = (room: RoomId): Promise<void> => node.backend.rooms.subscribe(room, () => heard.add(room))
    await Promise.all([
      ...rooms.map(async (room) => {
        // Unsubscribed and subscribed again before the first answer, so only the second call succeeds.
        const first = listen(room)
        node.backend.rooms.unsubscribe(room)
        await expect(first).rejects.toThrow(RegistryUnavailable)
      }),
      ...rooms.map((room) => listen(room)),
      ...rooms.map(() => node.backend.presence.watch(newPeer())),
    ])
    for (const room of rooms) expect(await node.backend.rooms.publish(room, 'hello')).toBe('sent')
    await eventually('all rooms are heard', () => heard.size === rooms.length)
    expect(node.events.slice(before)).toEqual([])
    expect(isHealthy(node)).toBe(true)
  })

  test('[EAR1] [F13] after Redis drops a subscriber it subscribes again and reports the gap as a doubt', async () => {
    const [a, b] = [await bench.rig(), await bench.rig()]
    await settle(a, b)
    const peer = newPeer()
    const changes: string[] = []
    a.backend.presence.onChange((change) => changes.push(change.state))
    await a.backend.presence.watch(peer)
    for (let round = 1; round <= 3; round++) {
      const before = [doubts(a).length, doubts(b).length] as const
      const killed = await bench.redis.everywhere('CLIENT', 'KILL', 'TYPE', 'pubsub')
      expect(killed.reduce((sum, one) => sum + Number(one), 0)).toBeGreaterThanOrEqual(2)
      await eventually(
        'the doubt is reported',
        () => doubts(a).length > before[0] && doubts(b).length > before[1],
      )
      await becomeHealthy(a, b)
      await eventually('the bus works again', () => reaches(b, a))
    }
    const lease = await claimed(b, peer)
    await b.backend.registry.release(lease)
    await eventually('presence changes arrive again', () => changes.length === 2)
    expect(changes).toEqual(['online', 'offline'])
  })
})

describe.each(topologies)('a Redis that drops its subscribers, %s', (topology) => {
  const bench = useTopology(topology, { silenceMs: SILENCE_MS })

  // Some envelopes of each round were once reported as `sent` although nobody received them.
  test('[CALL8] [F13] an envelope that is published meanwhile arrives, or its sender is told that it did not', async () => {
    const [a, b] = [await bench.rig(), await bench.rig()]
    await settle(a, b)
    const sent: number[] = []
    let unavailable = 0
    let serial = 1_000_000
    for (let round = 0; round < 3; round++) {
      const doubted = doubts(b).length
      await bench.redis.at(`pg:inbox:${b.node}`, 'CLIENT', 'KILL', 'TYPE', 'pubsub')
      await eventually('the gap has passed', async () => {
        // One at a time, so that each outcome is about the subscription at that moment.
        const outcome = await a.backend.bus.publish(b.node, numbered(++serial))
        if (outcome === 'sent') sent.push(serial)
        else unavailable++
        return outcome === 'sent' && doubts(b).length > doubted
      })
      await becomeHealthy(a, b)
    }
    expect(unavailable).toBeGreaterThan(0)
    const arrived = (): number[] =>
      b.received.flatMap((envelope) =>
        envelope.type === 'superseded' && envelope.epoch > 1_000_000 ? [envelope.epoch] : [],
      )
    await eventually('the last one arrives', () => arrived().includes(serial))
    expect(arrived()).toEqual(sent)
  })
})

// On one server, because sentinels and a cluster announce addresses that bypass the proxies of these tests.
describe('a bad connection to Redis', () => {
  const bench = useRedis()
  const { cleanups } = bench

  test('[EAR3] [F11] a connection that swallows all data is noticed within 3 s and works again when the fault ends', async () => {
    const proxy = await startTcpProxy({ target: { host: bench.server.host, port: bench.server.port } })
    cleanups.push(() => proxy.stop())
    const [cut, other] = [await bench.rig(`redis://127.0.0.1:${proxy.port}`), await bench.rig()]
    await becomeHealthy(cut, other)
    for (const direction of ['both', 'up', 'down'] as const) {
      proxy.drop(direction)
      expect(await eventually('the cut is noticed', () => !isHealthy(cut))).toBeLessThan(3_000 + BUSY_MS)
      expect(isHealthy(other)).toBe(true)
      proxy.heal()
      await becomeHealthy(cut)
      await eventually('the bus works again', () => reaches(other, cut))
    }
  })

  test('[EAR2] [F14] the canary finds a silently lost subscription within 8 s', async () => {
    const meddler = await startMeddler(bench.server.port)
    cleanups.push(() => meddler.stop())
    const times = { ...defaultTimes }
    const [node, other] = [await bench.rig(meddler.url, { times }), await bench.rig()]
    await becomeHealthy(node, other)
    await eventually('the bus works again', () => reaches(other, node))
    // Redis drops the subscription without notice. The connection stays open and answers every ping.
    meddler.rewrite((text) => text.replace(/>3\r\n\$12\r\nsunsubscribe\r\n\$\d+\r\n\S+\r\n:\d+\r\n/gu, ''))
    expect(meddler.say('peerage-subscriber', 'SUNSUBSCRIBE', `pg:inbox:${node.node}`)).toBe(1)
    await eventually('the subscription is lost', async () => !(await reaches(other, node)))
    expect(isHealthy(node)).toBe(true)
    expect(await eventually('the canary is missed', () => !isHealthy(node))).toBeLessThan(8_000 + 2 * BUSY_MS)
    await becomeHealthy(node)
    expect(doubts(node)).not.toEqual([])
    expect(node.errors.map((error) => error.stage)).toContain('canary')
    await eventually('the bus works again', () => reaches(other, node))
  })

  test('[F14] a subscription that Redis cancels is requested again at once', async () => {
    const meddler = await startMeddler(bench.server.port)
    cleanups.push(() => meddler.stop())
    const [node, other] = [await bench.rig(meddler.url, { times: defaultTimes }), await bench.rig()]
    await becomeHealthy(node, other)
    await eventually('the bus works again', () => reaches(other, node))
    meddler.say('peerage-subscriber', 'SUNSUBSCRIBE', `pg:inbox:${node.node}`)
    await eventually('the doubt is reported', () => doubts(node).length > 0)
    expect(await eventually('the bus works again', () => reaches(other, node))).toBeLessThan(2_000 + BUSY_MS)
    expect(node.errors).toEqual([])
  })

  test('[F14] presence subscriptions that are lost together with the inbox come back with it', async () => {
    const meddler = await startMeddler(bench.server.port)
    cleanups.push(() => meddler.stop())
    const [node, other] = [await bench.rig(meddler.url), await bench.rig()]
    await settle(node, other)
    const peer = newPeer()
    const changes: string[] = []
    node.backend.presence.onChange((change) => changes.push(change.state))
    await node.backend.presence.watch(peer)
    meddler.rewrite((text) => text.replace(/>3\r\n\$12\r\nsunsubscribe\r\n\$\d+\r\n\S+\r\n:\d+\r\n/gu, ''))
    meddler.say('peerage-subscriber', 'SUNSUBSCRIBE')
    await eventually('the loss is found', () => doubts(node).length > 0)
    await becomeHealthy(node)
    await claimed(other, peer)
    await eventually('presence changes arrive again', () => changes.length > 0)
    expect(changes).toEqual(['online'])
  })
})
