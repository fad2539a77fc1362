import { once } from 'node:events'
import { connect } from 'node:net'
import type { Backend, Registry } from '@peerage/core'
import { defaultTimes } from '@peerage/core'
import { afterEach, describe, expect, test } from 'vitest'
import {
  closeFixtures,
  eventually,
  startFixture,
  peerOf,
  registryWith,
  takenAnswer,
  type Fixture,
} from '../../testing/peerjs-fixture.js'
import { PeerJsPeer, offer } from '@peerage/test-support/peerjs.js'

afterEach(closeFixtures)

describe('hooks of an application', () => {
  test.each(['at once', 'later'])(
    'if onPeer fails %s, that is reported and no connection ends',
    async (when) => {
      const onPeer = (): unknown => {
        if (when === 'later') return Promise.reject(new Error('a bug'))
        throw new Error('a bug')
      }
      const fixture = await startFixture({ onPeer })
      const a = await fixture.join('a')
      await eventually('reported', () => fixture.seen.some((line) => line.includes('bug')))
      a.send(offer('a'))
      expect(a.end).toBeUndefined()
    },
  )
})

describe('leaving', () => {
  test('[PJ10] a close frame of any code frees the id at once', async () => {
    const fixture = await startFixture()
    for (const code of [undefined, 1000, 1001, 4321]) {
      const peer = await fixture.join('a')
      await peer.close(code)
      await eventually('left', () => fixture.gateway.connections === 0)
      expect(await fixture.node.lookup([peerOf('default/a')])).toEqual([{ state: 'offline' }])
    }
  })

  test.each([
    ['drains', (fixture: Fixture) => fixture.gateway.drain(0)],
    ['finds it silent', (fixture: Fixture) => fixture.clock.advance(20_000)],
  ])('[PJ10] a close frame frees the id even if the node %s before the socket has ended', async (_, act) => {
    const fixture = await startFixture()
    const socket = connect({
      port: Number(new URL(fixture.url).port),
      host: '127.0.0.1',
      allowHalfOpen: true,
    })
    socket.write(
      'GET /peerjs?key=peerjs&id=a&token=t HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    )
    let heard = ''
    socket.on('data', (data: Buffer) => (heard += data.toString('latin1')))
    await eventually('open', () => heard.includes('OPEN'))
    // An empty close frame. The node answers it and ends its half.
    socket.write(Buffer.from([0x88, 0x80, 0, 0, 0, 0]))
    await once(socket, 'end')
    await act(fixture)
    socket.end()
    await eventually('ended', () => fixture.gateway.connections === 0)
    expect(fixture.seen).toContain('closed by-peer')
    expect(await fixture.node.lookup([peerOf('default/a')])).toEqual([{ state: 'offline' }])
  })

  test('[PJ10] after a drop without a close frame the id waits for its token, for the grace', async () => {
    const fixture = await startFixture()
    const peer = await fixture.join('a', 'secret')
    await peer.cut()
    await eventually('dropped', () => fixture.gateway.connections === 0)
    expect(await fixture.node.lookup([peerOf('default/a')])).toMatchObject([{ state: 'away' }])
    const stranger = new PeerJsPeer({ url: fixture.url, id: 'a', token: 'other' })
    await takenAnswer(fixture, stranger)
    const back = await fixture.join('a', 'secret')
    await back.cut()
    await eventually('dropped', () => fixture.gateway.connections === 0)
    await fixture.clock.advance(defaultTimes.graceMs + 1_000)
    await fixture.join('a', 'other')
  })

  /** Connects a socket that never answers anything, and ends it when `until` has come. */
  async function goneAfter(fixture: Fixture, token: string, until: RegExp): Promise<void> {
    const socket = connect(Number(new URL(fixture.url).port), '127.0.0.1')
    socket.write(
      `GET /peerjs?key=peerjs&id=a&token=${token} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n` +
        'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    )
    let heard = ''
    socket.on('data', (data: Buffer) => (heard += data.toString('latin1')))
    await eventually('answered', () => until.test(heard))
    socket.destroy()
    await eventually('gone', () => fixture.gateway.connections === 0)
  }

  // A browser sends no close frame if PeerJS's `destroy()` is called while the socket opens.
  test('[PJ10] a peer that goes before it has read OPEN keeps no id', async () => {
    const fixture = await startFixture()
    await goneAfter(fixture, 'first', /OPEN/)
    expect(await fixture.node.lookup([peerOf('default/a')])).toEqual([{ state: 'offline' }])
    const second = await fixture.join('a', 'second')
    expect(second.frames).toEqual(['{"type":"OPEN"}'])
  })

  test('[PJ10] a peer that sends nothing after OPEN keeps no id', async () => {
    const fixture = await startFixture()
    const peer = new PeerJsPeer({ url: fixture.url, id: 'a', token: 'first' })
    await once(peer.socket, 'upgrade')
    peer.socket.pause()
    await eventually('claimed', () => fixture.node.sessions.onlineCount === 1)
    await fixture.clock.advance(20_000)
    await eventually('cut', () => fixture.gateway.connections === 0)
    expect(fixture.seen).toContain('closed ping-timeout')
    expect(await fixture.node.lookup([peerOf('default/a')])).toEqual([{ state: 'offline' }])
  })

  test('[PJ10] [I8] a peer that comes back for its id and goes before OPEN keeps the id', async () => {
    const fixture = await startFixture()
    await (await fixture.join('a', 'first')).cut()
    await eventually('dropped', () => fixture.gateway.connections === 0)
    await goneAfter(fixture, 'first', /OPEN/)
    expect(await fixture.node.lookup([peerOf('default/a')])).toMatchObject([{ state: 'away' }])
    await fixture.join('a', 'first')
  })

  test('[PJ10] a page that is reloaded before its claim is answered does not find its id taken', async () => {
    let answer = (): void => {}
    const held = new Promise<void>((resolve) => (answer = resolve))
    let claims = 0
    const slowClaim = (backend: Backend): Backend => {
      const { registry } = backend
      const claim: Registry['claim'] = async (peer, owner, options) => {
        claims++
        const claimed = await registry.claim(peer, owner, options)
        if (claims === 1) await held
        return claimed
      }
      return { ...backend, registry: registryWith(registry, { claim }) }
    }
    const fixture = await startFixture({ wrap: slowClaim })
    const first = new PeerJsPeer({ url: fixture.url, id: 'a', token: 'first' })
    await once(first.socket, 'open')
    await eventually('claiming', () => claims === 1)
    await first.close(1001)
    await eventually('left', () => fixture.gateway.connections === 0)
    answer()
    const second = await fixture.join('a', 'second')
    expect(second.frames).toEqual(['{"type":"OPEN"}'])
  })

  test('[PJ10] LEAVE without dst frees the id and closes the socket', async () => {
    const fixture = await startFixture()
    const peer = await fixture.join('a')
    peer.send({ type: 'LEAVE' })
    await peer.ended()
    expect(await fixture.node.lookup([peerOf('default/a')])).toEqual([{ state: 'offline' }])
  })

  test('[PJ10] no peer gets LEAVE because a signaling socket ended', async () => {
    const fixture = await startFixture()
    const [a, b, c] = [await fixture.join('a'), await fixture.join('b'), await fixture.join('c')]
    a.send(offer('b'))
    await b.next('OFFER')
    await a.cut()
    await c.close(1001)
    await eventually('gone', () => fixture.gateway.connections === 1)
    b.send(offer('b'))
    await b.next('OFFER', 1)
    expect(b.received.map(({ type }) => type)).toEqual(['OFFER', 'OFFER'])
  })

  test('[PJ15] a peer that answers pings needs no heartbeat, and one that does not is cut but keeps its id', async () => {
    const fixture = await startFixture()
    const [quiet, frozen] = [await fixture.join('quiet'), await fixture.join('frozen')]
    frozen.socket.pause()
    const pings = once(quiet.socket, 'ping')
    for (let step = 0; step < 20; step++) {
      await fixture.clock.advance(1_000)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await pings
    await eventually('cut', () => fixture.gateway.connections === 1)
    expect(fixture.seen).toContain('closed ping-timeout')
    expect(await fixture.node.lookup([peerOf('default/frozen'), peerOf('default/quiet')])).toMatchObject([
      { state: 'away' },
      { state: 'online' },
    ])
  })

  test('[PJ15] [WC7] a drain closes peers in batches, and their ids wait while they reconnect elsewhere', async () => {
    const fixture = await startFixture()
    const peers = await Promise.all(Array.from({ length: 20 }, (_, n) => fixture.join(`p${n}`)))
    fixture.node.beginDrain()
    const drained = fixture.gateway.drain(1_000)
    while (peers.some((peer) => peer.end === undefined)) {
      await fixture.clock.advance(100)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    await drained
    expect(new Set(peers.map((peer) => peer.end?.code))).toEqual(new Set([4000]))
    await eventually('ended', () => fixture.gateway.connections === 0)
    expect(await fixture.node.lookup([peerOf('default/p7')])).toMatchObject([{ state: 'away' }])
    const late = new PeerJsPeer({ url: fixture.url, id: 'late' })
    expect(await late.ended()).toMatchObject({ code: 1006 })
    expect(fixture.seen).toContain('rejected draining')
    const response = await fetch(`${fixture.url}/peerjs/id`)
    expect(response.status).toBe(503)
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
  })

  test('[PJ15] after gateway and node have stopped, no timer remains', async () => {
    const fixture = await startFixture()
    const a = await fixture.join('a')
    a.send(offer('nobody'))
    a.send('garbage')
    await eventually('held', () => fixture.seen.includes('signal held'))
    fixture.gateway.stop()
    await fixture.node.stop()
    expect(fixture.clock.pending).toBe(0)
  })
})
