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

/** On top of a limit, for a machine on which others run too. */
const BUSY_MS = 2_000

/** Longer than any test holds Redis up: here nobody takes over from anybody (that is redis-failover's subject). */
const SILENCE_MS = 60_000

describe.each(topologies)('a Redis that falters, %s', (topology) => {
  const bench = useTopology(topology, { silenceMs: SILENCE_MS })

  test('[F5] FLUSHALL: the node is doubted within a beat, stays alive, and claims go on with greater epochs', async () => {
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

  test('[F5] Redis killed and restarted empty: names are written back, the bus is whole, epochs grow', async () => {
    const [a, b] = [await bench.rig(), await bench.rig()]
    await settle(a, b)
    const lease = await claimed(a, newPeer())
    await bench.redis.kill()
    await eventually('the outage is noticed', () => !isHealthy(a) && !isHealthy(b))
    await eventually('the reason is told', () => ailments(a).at(-1)?.includes('ECONNREFUSED') ?? false)
    expect(await succeeds(a.backend.registry.lookup(lease.peer))).toBe(false)
    expect(await a.backend.bus.publish(b.node, numbered(0))).toBe('unavailable')
    await bench.redis.restart()
    const back = performance.now()
    await becomeHealthy(a, b)
    await eventually('the bus is whole', () => reaches(a, b))
    expect(performance.now() - back).toBeLessThan(5_000 + BUSY_MS)
    expect(doubts(a)).toContain('connected to Redis again')
    expect(await a.backend.registry.reassert([lease])).toEqual({ lost: [], evicted: [] })
    expect(await b.backend.registry.lookup(lease.peer)).toEqual(lease)
    const next = await claimed(b, lease.peer, { secretHash: lease.secretHash })
    expect(next.epoch).toBeGreaterThan(lease.epoch)
  })

  test('[CALL2] [F6] SIGSTOP: every call is refused within a second, and all is well soon after CONT', async () => {
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
    await eventually('the bus is whole', () => reaches(a, b))
    expect(performance.now() - back).toBeLessThan(4_000 + BUSY_MS)
  })

  test('[CALL7] a process that was held up keeps its connections and gets its answers', async () => {
    const node = await bench.rig()
    await settle(node)
    const lease = await claimed(node, newPeer())
    const doubted = doubts(node).length
    for (let round = 0; round < 3; round++) {
      const answer = node.backend.registry.lookup(lease.peer)
      const published = node.backend.bus.publish(node.node, numbered(round))
      // Once they are on their way.
      await new Promise((resolve) => setImmediate(resolve))
      const until = performance.now() + 1_500
      while (performance.now() < until);
      expect(await answer).toEqual(lease)
      expect(await published).toBe('sent')
    }
    expect(doubts(node)).toHaveLength(doubted)
    expect(node.errors).toEqual([])
  })

  test('[CALL4] [F6] what waits for a frozen Redis is bounded: the rest is refused at once', async () => {
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
      // Each a string of its own, as frames are.
      const frame = String(i).padEnd(4_000, 'x')
      const message = { from: newPeer(), to: newPeer(), wire: 'native', kind: 'message', frame } as const
      results.push(a.backend.bus.publish(b.node, { type: 'deliver', epoch: i, hops: 0, message }))
    }
    await new Promise((resolve) => setImmediate(resolve))
    // Unbounded, it would be 400 MB of frames, and as much again on their way out.
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024)
    expect(new Set(await Promise.all(results))).toContain('unavailable')
    await bench.redis.resume()
  })

  test('[CALL2] [F6] what was asked of a frozen Redis is not done long after its caller has given up', async () => {
    const node = await bench.rig()
    await settle(node)
    // Redis knows the script, and the node Redis's time: otherwise a late claim would fail for another reason.
    await claimed(node, newPeer())
    await bench.redis.pause()
    const peer = newPeer()
    const claim = node.backend.registry.claim(peer, ownerAt(node), {
      secretHash: newSecretHash(),
      policy: 'refuse',
    })
    await expect(claim).rejects.toThrow(RegistryUnavailable)
    await new Promise((resolve) => setTimeout(resolve, defaultTimes.commandMs)) // the claim is now too old to be done
    await bench.redis.resume()
    await becomeHealthy(node)
    expect(await node.backend.registry.lookup(peer)).toBeUndefined()
  })

  // Before, some joins at once were enough for `not subscribed to all channels yet`.
  test('[EAR6] what peers begin to listen to makes no node unhealthy, and is listened to when it says so', async () => {
    const node = await bench.rig()
    await settle(node)
    const before = node.events.length
    const rooms = Array.from({ length: 300 }, (_, i) => roomNamed(`hall-${i}`))
    const heard = new Set<string>()
    const listen = (room: RoomId): Promise<void> => node.backend.rooms.subscribe(room, () => heard.add(room))
    await Promise.all([
      ...rooms.map(async (room) => {
        // Left and joined again before the first answer: only the second one counts.
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

  test('[EAR1] [F13] a subscriber that Redis drops is subscribed again, the gap is a doubt', async () => {
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
        'the gap is doubted',
        () => doubts(a).length > before[0] && doubts(b).length > before[1],
      )
      await becomeHealthy(a, b)
      await eventually('the bus is whole', () => reaches(b, a))
    }
    const lease = await claimed(b, peer)
    await b.backend.registry.release(lease)
    await eventually('presence is heard again', () => changes.length === 2)
    expect(changes).toEqual(['online', 'offline'])
  })
})

describe.each(topologies)('a Redis that drops its subscribers, %s', (topology) => {
  const bench = useTopology(topology, { silenceMs: SILENCE_MS })

  // Before, some of each round were `sent` to nobody, and their senders never heard of it.
  test('[CALL8] [F13] what is published meanwhile arrives, or its sender is told that it did not', async () => {
    const [a, b] = [await bench.rig(), await bench.rig()]
    await settle(a, b)
    const sent: number[] = []
    let unheard = 0
    let serial = 1_000_000
    for (let round = 0; round < 3; round++) {
      const doubted = doubts(b).length
      await bench.redis.at(`pg:inbox:${b.node}`, 'CLIENT', 'KILL', 'TYPE', 'pubsub')
      await eventually('the gap has passed', async () => {
        // One at a time: each is asked about with the subscription as it is then.
        const outcome = await a.backend.bus.publish(b.node, numbered(++serial))
        if (outcome === 'sent') sent.push(serial)
        else unheard++
        return outcome === 'sent' && doubts(b).length > doubted
      })
      await becomeHealthy(a, b)
    }
    expect(unheard).toBeGreaterThan(0)
    const arrived = (): number[] =>
      b.received.flatMap((envelope) =>
        envelope.type === 'superseded' && envelope.epoch > 1_000_000 ? [envelope.epoch] : [],
      )
    await eventually('the last one arrives', () => arrived().includes(serial))
    expect(arrived()).toEqual(sent)
  })
})

// On one server: sentinels and a cluster tell addresses that lead past what meddles with a link.
describe('a link to Redis that is bad', () => {
  const bench = useRedis()
  const { cleanups } = bench

  test('[EAR3] [F11] a link that swallows everything is noticed within 3 s, and mended when it heals', async () => {
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
      await eventually('the bus is whole', () => reaches(other, cut))
    }
  })

  test('[EAR2] [F14] a subscription that is lost without a word is found by the canary within 8 s', async () => {
    const meddler = await startMeddler(bench.server.port)
    cleanups.push(() => meddler.stop())
    const times = { ...defaultTimes }
    const [deaf, other] = [await bench.rig(meddler.url, { times }), await bench.rig()]
    await becomeHealthy(deaf, other)
    await eventually('the bus is whole', () => reaches(other, deaf))
    // Redis forgets the subscription and says nothing; the connection stays, and answers every ping.
    meddler.rewrite((text) => text.replace(/>3\r\n\$12\r\nsunsubscribe\r\n\$\d+\r\n\S+\r\n:\d+\r\n/gu, ''))
    expect(meddler.say('peerage-subscriber', 'SUNSUBSCRIBE', `pg:inbox:${deaf.node}`)).toBe(1)
    await eventually('the subscription is lost', async () => !(await reaches(other, deaf)))
    expect(isHealthy(deaf)).toBe(true)
    expect(await eventually('the canary is missed', () => !isHealthy(deaf))).toBeLessThan(8_000 + 2 * BUSY_MS)
    await becomeHealthy(deaf)
    expect(doubts(deaf)).not.toEqual([])
    expect(deaf.errors.map((error) => error.stage)).toContain('canary')
    await eventually('the bus is whole', () => reaches(other, deaf))
  })

  test('[F14] a subscription that Redis takes away is asked for again at once', async () => {
    const meddler = await startMeddler(bench.server.port)
    cleanups.push(() => meddler.stop())
    const [node, other] = [await bench.rig(meddler.url, { times: defaultTimes }), await bench.rig()]
    await becomeHealthy(node, other)
    await eventually('the bus is whole', () => reaches(other, node))
    meddler.say('peerage-subscriber', 'SUNSUBSCRIBE', `pg:inbox:${node.node}`)
    await eventually('the gap is doubted', () => doubts(node).length > 0)
    expect(await eventually('the bus is whole', () => reaches(other, node))).toBeLessThan(2_000 + BUSY_MS)
    expect(node.errors).toEqual([])
  })

  test('[F14] presence subscriptions that are lost with the rest come back with it', async () => {
    const meddler = await startMeddler(bench.server.port)
    cleanups.push(() => meddler.stop())
    const [deaf, other] = [await bench.rig(meddler.url), await bench.rig()]
    await settle(deaf, other)
    const peer = newPeer()
    const changes: string[] = []
    deaf.backend.presence.onChange((change) => changes.push(change.state))
    await deaf.backend.presence.watch(peer)
    meddler.rewrite((text) => text.replace(/>3\r\n\$12\r\nsunsubscribe\r\n\$\d+\r\n\S+\r\n:\d+\r\n/gu, ''))
    meddler.say('peerage-subscriber', 'SUNSUBSCRIBE')
    await eventually('the loss is found', () => doubts(deaf).length > 0)
    await becomeHealthy(deaf)
    await claimed(other, peer)
    await eventually('presence is heard again', () => changes.length > 0)
    expect(changes).toEqual(['online'])
  })
})
