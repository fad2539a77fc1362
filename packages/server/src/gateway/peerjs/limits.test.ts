import { once } from 'node:events'
import { connect } from 'node:net'
import type { Backend } from '@peerage/core'
import { memoryCluster } from '@peerage/core'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { nameOf } from '@peerage/protocol'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { closeFixtures, eventually, startFixture, registryWith } from '../../testing/peerjs-fixture.js'
import { PeerJsPeer, candidate, offer } from '@peerage/test-support/peerjs.js'
import { Addresses } from '../shared/address.js'
import { unlimited } from '../../testing/unlimited.js'

afterEach(closeFixtures)

describe('limits', () => {
  test('[PJ16] a frame over the limit ends the socket with 1009, is logged, and frees the id', async () => {
    const fixture = await startFixture()
    const a = await fixture.join('a')
    const payload = 'x'.repeat(1024 * 1024)
    a.send(offer('b', payload))
    expect(await a.ended()).toMatchObject({ code: 1009 })
    const logged = fixture.logs.find(({ details }) => details['what'] === 'fault')
    expect(logged?.details).toMatchObject({ code: 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH', name: 'a' })
    await eventually('gone', () => fixture.gateway.connections === 0)
    await fixture.join('a')
  })

  test('[PJ16] the limit of a frame is exact to the byte', async () => {
    const fixture = await startFixture({ frameBytes: 1_024 })
    const [a, b] = [await fixture.join('a'), await fixture.join('b')]
    const sized = (bytes: number): string => {
      const empty = JSON.stringify(offer('b', ''))
      return JSON.stringify(offer('b', 'x'.repeat(bytes - empty.length)))
    }
    a.send(sized(1_024))
    await b.next('OFFER')
    a.send(sized(1_025))
    expect(await a.ended()).toMatchObject({ code: 1009 })
  })

  test('[PJ16] a sender is refused, and told so, before a recipient that is behind is cut', async () => {
    const fixture = await startFixture({ bufferedBytes: 262_144 })
    const [a, b] = [
      await fixture.join('a'),
      await PeerJsPeer.open({ url: fixture.url, id: 'b', autoPong: false }),
    ]
    b.socket.pause()
    const payload = 'x'.repeat(32_000)
    while (!fixture.seen.includes('signal slow-consumer')) {
      a.send(offer('b', payload))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect((await a.next('EXPIRE')).payload).toEqual({ msg: 'the other peer does not read fast enough' })
    for (let n = 0; n < 100; n++) a.send(offer('b', payload))
    a.send(offer('a'))
    await a.next('OFFER')
    expect(fixture.seen).not.toContain('closed slow-consumer')
    b.socket.resume()
    b.send(offer('b', 'last'))
    await eventually('all is read', () => b.received.some((frame) => frame.payload === 'last'))
    expect(b.end).toBeUndefined()
  })

  // A hidden tab sends a heartbeat at most once a minute. Only its answers to pings keep it alive, so they must not be
  // late.
  test('[PJ16] by its pongs, at most half of the bound of other peers’ frames is unread by a peer', async () => {
    const fixture = await startFixture()
    const [a, b] = [await fixture.join('a'), await fixture.join('b')]
    const count = (line: string): number => fixture.seen.filter((seen) => seen === line).length
    const pinged = once(b.socket, 'ping')
    a.send(offer('b', 'x'.repeat(40_000)))
    await pinged
    // The pong of b and this frame come in order.
    b.send(offer('a'))
    await a.next('OFFER')
    b.socket.pause()
    const before = count('signal delivered')
    for (let n = 1; count('signal slow-consumer') === 0; n++) {
      a.send(offer('b', 'x'.repeat(32_000)))
      await eventually(
        'answered',
        () => count('signal delivered') - before + count('signal slow-consumer') === n,
      )
    }
    const sent = count('signal delivered') - before
    expect(sent * 32_000).toBeLessThan(524_288 + 64_000)
    b.socket.resume()
    await eventually('it reads on', () => b.received.length === 1 + sent)
    b.send(offer('b', 'last'))
    await eventually('all is read', () => b.received.some((frame) => frame.payload === 'last'))
    expect(b.end).toBeUndefined()
  })

  test('[PJ16] a peer that reads nothing from one ping to the next is cut, though it sends', async () => {
    const fixture = await startFixture({ bufferedBytes: 262_144 })
    const [a, b] = [await fixture.join('a'), await fixture.join('b')]
    b.socket.pause()
    while (!fixture.seen.includes('signal slow-consumer')) {
      a.send(offer('b', 'x'.repeat(32_000)))
      await new Promise((resolve) => setImmediate(resolve))
    }
    const isCut = (): boolean => fixture.seen.includes('closed slow-consumer')
    for (let n = 0; n < 8 && !isCut(); n++) {
      const before = a.received.length
      b.send(offer('a'))
      a.send({ type: 'HEARTBEAT' })
      await eventually('b was heard, or is cut', () => a.received.length > before || isCut())
      await fixture.clock.advance(4_000)
    }
    await eventually('cut', isCut)
  })

  test('[PJ16] offers over the rate of signals are dropped, and the sender is told', async () => {
    const fixture = await startFixture({
      limitValues: { ...unlimited, connection: { ...unlimited.connection, signalBytesPerSecond: 1_000 } },
    })
    const [a] = [await fixture.join('a'), await fixture.join('b')]
    for (let n = 0; n < 4; n++) a.send(offer('b', 'x'.repeat(900)))
    expect((await a.next('EXPIRE')).payload).toEqual({ msg: 'too many requests; retry later' })
    expect(fixture.seen.filter((line) => line === 'signal delivered')).toHaveLength(2)
  })

  test('[PJ16] limits count bytes, not characters', async () => {
    const fixture = await startFixture({
      limitValues: { ...unlimited, connection: { ...unlimited.connection, bytesPerSecond: 1_000 } },
    })
    const [a] = [await fixture.join('a'), await fixture.join('b')]
    for (let n = 0; n < 2; n++) a.send(offer('b', '€'.repeat(400)))
    expect((await a.next('EXPIRE')).payload).toEqual({ msg: 'too many requests; retry later' })
  })

  test('[PJ16] a frame with many keys costs more than its bytes', async () => {
    const clock = new FakeClock()
    const fixture = await startFixture({
      time: clock,
      cluster: memoryCluster({ clock }),
      limitValues: { ...unlimited, connection: { ...unlimited.connection, bytesPerSecond: 400_000 } },
    })
    const [a, b] = [await fixture.join('a'), await fixture.join('b')]
    const keys = Object.fromEntries(Array.from({ length: 3_500 }, (_, i) => [`key-${i}`, i]))
    a.send(JSON.stringify({ type: 'HEARTBEAT', keys }))
    b.send(JSON.stringify({ type: 'HEARTBEAT', text: 'x'.repeat(45_000) }))
    a.send(offer('b', 'x'))
    expect((await a.next('EXPIRE')).payload).toEqual({ msg: 'too many requests; retry later' })
    b.send(offer('a', 'x'))
    expect(await a.next('OFFER')).toMatchObject({ src: 'b' })
  })

  test('[PJ8] the messages of one sender that wait for absent peers are bounded in total', async () => {
    const clock = new FakeClock()
    const fixture = await startFixture({
      time: clock,
      cluster: memoryCluster({ clock }),
      pingIntervalMs: 60_000,
    })
    const a = await fixture.join('a')
    const payload = 'x'.repeat(60_000)
    for (let n = 0; n < 75; n++) a.send(offer(`nobody ${n}`, payload))
    await eventually(
      'all are judged',
      () => fixture.seen.filter((line) => line.startsWith('signal')).length === 75,
    )
    const held = fixture.seen.filter((line) => line === 'signal held').length
    expect(held * 60_000).toBeLessThanOrEqual(4 * 1024 * 1024)
    expect(held).toBeGreaterThan(60)
    await clock.advance(10_000)
    a.send(offer('later', payload))
    await eventually('held again', () => fixture.seen.filter((line) => line === 'signal held').length > held)
  })

  test('[PJ16] after a long frame over the rate nothing is handled for 100 ms, not even frames that have come', async () => {
    const fixture = await startFixture({
      limitValues: { ...unlimited, connection: { ...unlimited.connection, signalBytesPerSecond: 10_000 } },
    })
    const [a, b] = [await fixture.join('a'), await fixture.join('b')]
    const payload = 'x'.repeat(4_900)
    for (let n = 0; n < 30; n++) a.send(offer(`absent-${n}`, payload))
    a.send('{"type":"LEAVE"}')
    const expired = (): number[] =>
      a.frames
        .filter((frame) => frame.includes('EXPIRE'))
        .map((frame) => Number(/"src":"absent-(\d+)"/.exec(frame)?.[1]))
    // The first messages are within the rate, and wait for their recipients.
    await eventually('the first one over the rate', () => expired().length === 1)
    const [first = 0] = expired()
    expect(first).toBeLessThan(6)
    for (let n = 0; n < 20; n++) {
      const pong = once(b.socket, 'pong')
      b.socket.ping()
      await pong
    }
    expect(expired()).toEqual([first])
    await vi.waitFor(
      async () => {
        await fixture.clock.advance(100)
        expect(a.end).toBeDefined()
      },
      { timeout: 10_000 },
    )
    expect(expired()).toEqual(expired().toSorted((x, y) => x - y))
    expect(expired().length).toBeGreaterThan(10)
  })

  test('[PJ16] messages that arrive while a mailbox is being emptied are bounded, in frames and in bytes', async () => {
    const opens: (() => void)[] = []
    const slowTake = (backend: Backend): Backend => ({
      ...backend,
      mailbox: {
        put: (peer, message) => backend.mailbox.put(peer, message),
        expire: (peer) => backend.mailbox.expire(peer),
        take: async (peer) => {
          if (nameOf(peer) !== 'a') await new Promise<void>((resolve) => opens.push(resolve))
          return backend.mailbox.take(peer)
        },
      },
    })
    const fixture = await startFixture({ wrap: slowTake })
    const count = (what: string): number => fixture.seen.filter((line) => line === what).length
    const a = await fixture.join('a')
    const many = await fixture.join('many')
    for (let n = 0; n < 1_030; n++) a.send(candidate('many', n))
    await eventually(
      'all are judged',
      () => count('signal delivered') + count('signal slow-consumer') === 1_030,
    )
    expect(count('signal slow-consumer')).toBe(6)
    const large = await fixture.join('large')
    for (let n = 0; n < 5; n++) a.send(offer('large', 'x'.repeat(32_000)))
    await eventually('refused', () => count('signal slow-consumer') === 7)
    expect((await a.next('EXPIRE')).payload).toEqual({ msg: 'the other peer does not read fast enough' })
    for (const open of opens) open()
    await many.next('CANDIDATE', 1_023)
    await large.next('OFFER', 3)
    expect([many.received.length, large.received.length]).toEqual([1_024, 4])
  })

  test('[PJ16] frames before the name is claimed are bounded', async () => {
    const never = (backend: Backend): Backend => ({
      ...backend,
      registry: registryWith(backend.registry, { claim: () => new Promise(() => {}) }),
    })
    const fixture = await startFixture({ wrap: never })
    const a = new PeerJsPeer({ url: fixture.url, id: 'a' })
    a.socket.on('open', () => {
      for (let n = 0; n < 100; n++) a.send(candidate('b', n))
    })
    expect(await a.ended()).toMatchObject({ code: 4004 })
  })

  test('[PJ16] messages over the rate are dropped, and the sender is told', async () => {
    const limitValues = {
      ...unlimited,
      connection: { messagesPerSecond: 5, bytesPerSecond: 0, signalBytesPerSecond: 0, lookupsPerSecond: 0 },
    }
    const fixture = await startFixture({ limitValues })
    const [a, b] = [await fixture.join('a'), await fixture.join('b')]
    for (let n = 0; n < 20; n++) a.send(candidate('b', n))
    expect((await a.next('EXPIRE')).payload).toEqual({ msg: 'too many requests; retry later' })
    // The node may read the two sockets in any order.
    await b.next('CANDIDATE', 9)
    await fixture.clock.advance(1_000)
    a.send(candidate('b', 20))
    await b.next('CANDIDATE', 10)
    expect(b.received.map(({ payload }) => payload)).toMatchObject(
      [...Array(10).keys(), 20].map((n) => ({ n })),
    )
  })

  // Regression: a ping before the claim created the connection's rates without its name, so they never counted for the
  // name.
  test('[PJ16] messages count for the name, even if a ping came before the claim', async () => {
    let pass = (): void => {}
    const passed = new Promise<void>((resolve) => (pass = resolve))
    const late = (backend: Backend): Backend => ({
      ...backend,
      registry: registryWith(backend.registry, {
        claim: (...claim) => passed.then(() => backend.registry.claim(...claim)),
      }),
    })
    const limitValues = { ...unlimited, name: { ...unlimited.name, messagesPerSecond: 5 } }
    const fixture = await startFixture({ limitValues, wrap: late })
    const a = new PeerJsPeer({ url: fixture.url, id: 'a' })
    await once(a.socket, 'open')
    a.socket.ping()
    await once(a.socket, 'pong')
    pass()
    await a.next('OPEN')
    for (let n = 0; n < 20; n++) a.send(candidate('nobody', n))
    expect((await a.next('EXPIRE')).payload).toEqual({ msg: 'too many requests; retry later' })
  })

  test('[PJ16] pings count like messages, and a flood of either is closed', async () => {
    const limitValues = {
      ...unlimited,
      connection: { messagesPerSecond: 50, bytesPerSecond: 0, signalBytesPerSecond: 0, lookupsPerSecond: 0 },
    }
    const fixture = await startFixture({ limitValues })
    const [a, b] = [await fixture.join('a'), await fixture.join('b')]
    const answered = once(a.socket, 'pong')
    a.socket.ping('one')
    expect(String((await answered)[0])).toBe('one')
    for (let n = 0; n < 2_200; n++) a.socket.ping()
    expect(await a.ended()).toMatchObject({ code: 4004 })
    expect(fixture.seen).toContain('rejected rate-limited')
    for (let n = 0; n < 2_200; n++) b.send(candidate('nobody', n))
    expect(await b.ended()).toMatchObject({ code: 4004 })
  })

  test('[PJ16] heartbeats and ignored frames count like messages, and a flood of them is closed', async () => {
    const limitValues = { ...unlimited, connection: { ...unlimited.connection, messagesPerSecond: 50 } }
    const fixture = await startFixture({ limitValues })
    const [a, b, c] = [await fixture.join('a'), await fixture.join('b'), await fixture.join('c')]
    // This takes the whole bucket, so that nothing can be relayed.
    for (let n = 0; n < 100; n++) a.send({ type: 'HEARTBEAT' })
    a.send(candidate('b', 1))
    expect((await a.next('EXPIRE')).payload).toEqual({ msg: 'too many requests; retry later' })
    for (let n = 0; n < 2_200; n++) a.send({ type: 'HEARTBEAT' })
    expect(await a.ended()).toMatchObject({ code: 4004 })
    for (let n = 0; n < 2_200; n++) c.socket.send('no JSON')
    expect(await c.ended()).toMatchObject({ code: 4004 })
    expect(b.received).toEqual([])
  })

  test('[PJ16] unsolicited pongs count, and a flood of them is closed', async () => {
    const limitValues = { ...unlimited, connection: { ...unlimited.connection, messagesPerSecond: 50 } }
    const fixture = await startFixture({ limitValues })
    const a = await fixture.join('a')
    for (let n = 0; n < 2_200; n++) a.socket.pong()
    expect(await a.ended()).toMatchObject({ code: 4004 })
    expect(fixture.seen).toContain('rejected rate-limited')
  })

  test('[PJ16] a peer that goes on sending after the close is cut', async () => {
    const fixture = await startFixture()
    const stranger = connect(Number(new URL(fixture.url).port), '127.0.0.1')
    stranger.on('error', () => {})
    const ended = once(stranger, 'close')
    stranger.write(
      'GET /peerjs?key=wrong&id=a&token=t HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    )
    await once(stranger, 'data')
    const noise = Buffer.concat(
      Array.from({ length: 500 }, () => Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0x78])),
    )
    const flood = setInterval(() => stranger.write(noise), 2)
    await ended.finally(() => clearInterval(flood))
  })

  test('[PJ15] while too many claims wait, a peer is closed without an ERROR and may come again', async () => {
    const fixture = await startFixture()
    vi.spyOn(fixture.node, 'claim').mockResolvedValueOnce({ ok: false, code: 'overloaded' })
    const refused = new PeerJsPeer({ url: fixture.url, id: 'a' })
    expect(await refused.ended()).toMatchObject({ code: 4006 })
    expect(refused.frames).toEqual([])
    await fixture.join('a')
  })

  test('[PJ16] a peer that is a little over the rate for hours is not closed', async () => {
    const limitValues = {
      ...unlimited,
      connection: { messagesPerSecond: 5, bytesPerSecond: 0, signalBytesPerSecond: 0, lookupsPerSecond: 0 },
    }
    const fixture = await startFixture({ limitValues })
    const [a, b] = [await fixture.join('a'), await fixture.join('b')]
    const refused = (): number => fixture.seen.filter((line) => line === 'rejected rate-limited').length
    for (let second = 0; second < 5; second++) {
      for (let n = 0; n < 500; n++) a.send(candidate('b', n))
      const passed = 10 + second * 5
      await b.next('CANDIDATE', passed - 1)
      // Wait until all frames are read before the clock advances, because a socket is read in several steps.
      await eventually('read', () => refused() === (second + 1) * 500 - passed)
      await fixture.clock.advance(1_000)
    }
    a.socket.ping('last')
    expect(String((await once(a.socket, 'pong'))[0])).toBe('last')
    expect(a.end).toBeUndefined()
  })

  test('[PJ16] connections of one address are counted, and no longer once they end in any way', async () => {
    const address = { ...unlimited.address, connections: 2 }
    const fixture = await startFixture({
      limitValues: { ...unlimited, address },
      addresses: new Addresses(['127.0.0.0/8']),
    })
    const at = { url: fixture.url, headers: { 'x-forwarded-for': '192.0.2.7' } }
    for (let round = 0; round < 5; round++) {
      // An upgrade that ws refuses does not count as a connection.
      const broken = connect(Number(new URL(fixture.url).port), '127.0.0.1')
      broken.write(
        'GET /peerjs HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
          'Sec-WebSocket-Version: 1\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n',
      )
      const [answer] = await once(broken, 'data')
      expect(String(answer)).toContain('HTTP/1.1 400')
      broken.destroy()
      const one = await PeerJsPeer.open({ ...at, id: 'one' })
      const other = await PeerJsPeer.open({ ...at, id: 'other' })
      const third = new PeerJsPeer({ ...at, id: 'third' })
      expect(await third.ended()).toMatchObject({ code: 1006 })
      await one.close()
      await other.cut()
      await eventually('given back', () => fixture.gateway.connections === 0)
      await fixture.clock.advance(40_000)
    }
  })

  test('[PJ16] while the store is down, claims are closed without an ERROR and messages are answered', async () => {
    const clock = new FakeClock()
    const cluster = memoryCluster({ clock })
    const fixture = await startFixture({ cluster })
    const a = await fixture.join('a')
    cluster.setDown(true)
    a.send(offer('b'))
    expect((await a.next('EXPIRE')).payload).toEqual({
      msg: 'the registry cannot be reached right now; try again',
    })
    const late = new PeerJsPeer({ url: fixture.url, id: 'late' })
    expect(await late.ended()).toMatchObject({ code: 4007 })
    expect(late.frames).toEqual([])
  })
})
