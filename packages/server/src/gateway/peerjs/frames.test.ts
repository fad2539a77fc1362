import type { Backend, Connection, Message, Registry } from '@peerage/core'
import { memoryCluster } from '@peerage/core'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { parseConnectionId } from '@peerage/protocol'
import { afterEach, describe, expect, test } from 'vitest'
import {
  closeFixtures,
  eventually,
  startFixture,
  peerOf,
  registryWith,
  takenAnswer,
} from '../../testing/peerjs-fixture.js'
import { PeerJsPeer, candidate, offer } from '@peerage/test-support/peerjs.js'

afterEach(closeFixtures)

describe('messages', () => {
  test('[PJ6] are relayed byte for byte as PeerJS writes them, and all other frames are dropped', async () => {
    const fixture = await startFixture()
    const [a, b] = [await fixture.join('a'), await fixture.join('b')]
    a.send('not json')
    a.send('7')
    a.send({ type: 'HEARTBEAT' })
    a.send({ type: 'NONSENSE', dst: 'b' })
    a.send({ type: 'OFFER', payload: { sdp: 1 } })
    a.send({ type: 'OFFER', dst: 'b', payload: { sdp: 'ä"\\' }, src: 'c', more: 1 })
    a.send(Buffer.from(JSON.stringify({ type: 'ANSWER', dst: 'b' })).toString())
    a.socket.send(Buffer.from('{"type":"CANDIDATE","dst":"b"}'), { binary: true })
    a.socket.send(Buffer.from([0xff, 0xfe, 0x00]), { binary: true })
    a.send({ type: 'LEAVE', dst: 'b' })
    await b.next('LEAVE')
    expect(b.frames.slice(1)).toEqual([
      '{"type":"OFFER","src":"a","dst":"b","payload":{"sdp":"ä\\"\\\\"}}',
      '{"type":"ANSWER","src":"a","dst":"b"}',
      '{"type":"CANDIDATE","src":"a","dst":"b"}',
      '{"type":"LEAVE","src":"a","dst":"b"}',
    ])
    expect(a.end).toBeUndefined()
    expect(fixture.logs.find(({ details }) => details['what'] === 'malformed')).toBeDefined()
  })

  test('[PJ6] that come before OPEN are kept until the id is claimed', async () => {
    const fixture = await startFixture()
    const b = await fixture.join('b')
    const a = new PeerJsPeer({ url: fixture.url, id: 'a' })
    a.socket.on('open', () => {
      for (let n = 0; n < 20; n++) a.send(candidate('b', n))
    })
    await b.next('CANDIDATE', 19)
    expect(b.received.map(({ payload }) => payload)).toMatchObject(
      Array.from({ length: 20 }, (_, n) => ({ n })),
    )
    await a.cut()
  })

  test('[PJ7] that waited come after OPEN in order, before messages that arrive meanwhile', async () => {
    let open = (): void => {}
    const opened = new Promise<void>((resolve) => (open = resolve))
    const slowTake = (backend: Backend): Backend => ({
      ...backend,
      mailbox: {
        put: (peer, message) => backend.mailbox.put(peer, message),
        expire: (peer) => backend.mailbox.expire(peer),
        take: async (peer) => {
          const taken = await backend.mailbox.take(peer)
          await opened
          return taken
        },
      },
    })
    const fixture = await startFixture({ wrap: slowTake })
    const a = await fixture.join('a')
    for (let n = 0; n < 5; n++) a.send(candidate('b', n))
    await eventually('held', () => fixture.seen.filter((line) => line === 'signal held').length === 5)
    const b = await fixture.join('b')
    for (let n = 5; n < 10; n++) a.send(candidate('b', n))
    await eventually(
      'delivered',
      () => fixture.seen.filter((line) => line === 'signal delivered').length === 5,
    )
    expect(b.frames).toEqual(['{"type":"OPEN"}'])
    open()
    await b.next('CANDIDATE', 9)
    expect(b.received.map(({ payload }) => payload)).toMatchObject(
      Array.from({ length: 10 }, (_, n) => ({ n })),
    )
  })

  test('[PJ7] of a pair stay in order when the recipient arrives during slow lookups', async () => {
    const slowLookups = (backend: Backend): Backend => {
      const { registry } = backend
      const lookup: Registry['lookup'] = async (peer) => {
        const found = await registry.lookup(peer)
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 8))
        return found
      }
      return { ...backend, registry: registryWith(registry, { lookup }) }
    }
    const fixture = await startFixture({ wrap: slowLookups })
    const a = await fixture.join('a')
    for (let round = 0; round < 20; round++) {
      const dst = `b${round}`
      const coming = new PeerJsPeer({ url: fixture.url, id: dst })
      for (let n = 0; n < 30; n++) {
        a.send(candidate(dst, n))
        if (n % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
      }
      await coming.next('CANDIDATE', 29)
      expect(coming.received.map(({ payload }) => payload)).toMatchObject(
        Array.from({ length: 30 }, (_, n) => ({ n })),
      )
      await coming.cut()
    }
  })

  test('[PJ9] to a peer that does not come expire five seconds after the first, with one EXPIRE a pair', async () => {
    const fixture = await startFixture()
    const [a, b] = [await fixture.join('a'), await fixture.join('b')]
    for (let n = 0; n < 5; n++) a.send(candidate('nobody', n))
    b.send(offer('nobody'))
    a.send({ type: 'LEAVE', dst: 'somebody' })
    a.send({ type: 'EXPIRE', dst: 'somebody' })
    await eventually('held', () => fixture.seen.filter((line) => line === 'signal held').length === 6)
    await fixture.clock.advance(4_900)
    expect(a.received).toEqual([])
    await fixture.clock.advance(200)
    await Promise.all([a.next('EXPIRE'), b.next('EXPIRE')])
    await fixture.clock.advance(800)
    a.send(offer('b'))
    await b.next('OFFER')
    expect(a.frames.slice(1)).toEqual(['{"type":"EXPIRE","src":"nobody","dst":"a"}'])
    expect(b.frames[1]).toBe('{"type":"EXPIRE","src":"nobody","dst":"b"}')
  })

  test('[PJ9] expire later if the store is unavailable at the time', async () => {
    const clock = new FakeClock()
    const cluster = memoryCluster({ clock })
    const fixture = await startFixture({ cluster, time: clock, pingIntervalMs: 60_000 })
    const a = await fixture.join('a')
    a.send(offer('nobody'))
    await eventually('held', () => fixture.seen.includes('signal held'))
    cluster.setDown(true)
    await clock.advance(5_100)
    expect(fixture.seen.some((line) => line.startsWith('error mailbox expire'))).toBe(true)
    expect(a.received).toEqual([])
    cluster.setDown(false)
    await clock.advance(1_000)
    expect((await a.next('EXPIRE')).text).toBe('{"type":"EXPIRE","src":"nobody","dst":"a"}')
  })

  test('[PJ9] to an invalid id expire at once, with the id as it was written', async () => {
    const fixture = await startFixture()
    const a = await fixture.join('a')
    const long = 'x'.repeat(129)
    for (const dst of [5, true, ['b'], { b: 1 }, long, 'a\u0000b']) {
      a.send({ type: 'OFFER', dst })
      a.send({ type: 'OFFER', dst })
    }
    a.send(offer('a'))
    await a.next('OFFER')
    expect(a.received.map(({ src }) => src)).toEqual([5, true, ['b'], { b: 1 }, long, 'a\u0000b', 'a'])
  })

  test('[PJ9] leave little behind when they expire: long ids that begin alike are one burst, and many are forgotten', async () => {
    const fixture = await startFixture()
    const a = await fixture.join('a')
    const long = 'x'.repeat(30_000)
    for (let n = 0; n < 5; n++) a.send(offer(`${long}${n}`))
    a.send(offer('\nshort'))
    await a.next('EXPIRE', 1)
    const told = (): string[] => a.received.map(({ src }) => String(src))
    expect(told()).toEqual([`${long}0`, '\nshort'])
    for (let n = 0; n < 300; n++) a.send(offer(`\n${n}`))
    for (let n = 0; n < 300; n++) a.send(offer(`\n${n}`))
    a.send(offer('a', 'last'))
    await a.next('OFFER')
    // Each id expires once, or twice if it was forgotten in between.
    const ends = told().filter((src) => /^\n\d/u.test(src))
    expect(new Set(ends).size).toBe(300)
    expect(ends.length).toBeGreaterThan(300)
    expect(ends.length).toBeLessThanOrEqual(600)
  })

  test('[PJ8] to a full mailbox are refused, the sender is told, and it is logged', async () => {
    const clock = new FakeClock()
    const fixture = await startFixture({
      cluster: memoryCluster({ clock, mailboxLimits: { messages: 3, length: 10_000, expireMs: 5_000 } }),
    })
    const a = await fixture.join('a')
    for (let n = 0; n < 5; n++) a.send(candidate('nobody', n))
    await a.next('EXPIRE')
    await eventually('five', () => fixture.seen.filter((line) => line.startsWith('signal ')).length === 5)
    expect(fixture.seen.filter((line) => line === 'signal held')).toHaveLength(3)
    expect(fixture.logs).toContainEqual({
      event: 'dropped',
      details: { wire: 'peerjs', what: 'mailbox-full', name: 'default/nobody' },
    })
  })

  test('[PJ14] to a native peer expire at once, and its name is taken for PeerJS too', async () => {
    const fixture = await startFixture({ settings: { peerjs: { allowDiscovery: true } } })
    const sent: Message[] = []
    const id = parseConnectionId('n1')
    if (!id.ok) throw new Error(id.problem)
    const native: Connection = {
      id: id.value,
      wire: 'native',
      isBehind: false,
      isOpen: true,
      send: (message) => message.type === 'relay' && sent.push(message.message) > 0,
      close: () => {},
    }
    fixture.node.open(native)
    const outcome = await fixture.node.claim(native, {
      peer: peerOf('default/native'),
      secret: 'a'.repeat(22),
      policy: 'refuse',
    })
    expect(outcome.ok).toBe(true)
    const taken = new PeerJsPeer({ url: fixture.url, id: 'native' })
    await takenAnswer(fixture, taken)
    const a = await fixture.join('a')
    a.send(offer('native'))
    expect((await a.next('EXPIRE')).text).toBe(
      '{"type":"EXPIRE","src":"native","dst":"a","payload":{"msg":"the other peer speaks another protocol"}}',
    )
    expect(sent).toEqual([])
    const listed = await fetch(`${fixture.url}/peerjs/peers`)
    expect(await listed.json()).toEqual(expect.arrayContaining(['native', 'a']))
    expect(await fixture.node.lookup([peerOf('default/a')])).toMatchObject([{ state: 'online' }])
  })
})
