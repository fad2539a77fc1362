import { once } from 'node:events'
import { connect } from 'node:net'
import type { Backend, Registry } from '@peerage/core'
import { defaultTimes } from '@peerage/core'
import { afterEach, describe, expect, test } from 'vitest'
import {
  closeHouses,
  eventually,
  house,
  peerOf,
  registryWith,
  takenAnswer,
  type House,
} from '../../testing/peerjs-house.js'
import { PeerJsPeer, offer } from '@peerage/test-support/peerjs.js'

afterEach(closeHouses)

describe('hooks of an application', () => {
  test.each(['at once', 'later'])('onPeer that fails %s is reported, and ends nothing', async (when) => {
    const onPeer = (): unknown => {
      if (when === 'later') return Promise.reject(new Error('a bug'))
      throw new Error('a bug')
    }
    const home = await house({ onPeer })
    const a = await home.join('a')
    await eventually('reported', () => home.seen.some((line) => line.includes('bug')))
    a.send(offer('a'))
    expect(a.end).toBeUndefined()
  })
})

describe('leaving', () => {
  test('[PJ10] a close frame of any code frees the id at once', async () => {
    const home = await house()
    for (const code of [undefined, 1000, 1001, 4321]) {
      const peer = await home.join('a')
      await peer.close(code)
      await eventually('left', () => home.gateway.connections === 0)
      expect(await home.node.lookup([peerOf('default/a')])).toEqual([{ state: 'offline' }])
    }
  })

  test.each([
    ['drains', (home: House) => home.gateway.drain(0)],
    ['finds it silent', (home: House) => home.clock.advance(20_000)],
  ])('[PJ10] a close frame frees it though the node %s before the socket has ended', async (_, act) => {
    const home = await house()
    const socket = connect({ port: Number(new URL(home.url).port), host: '127.0.0.1', allowHalfOpen: true })
    socket.write(
      'GET /peerjs?key=peerjs&id=a&token=t HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    )
    let heard = ''
    socket.on('data', (data: Buffer) => (heard += data.toString('latin1')))
    await eventually('open', () => heard.includes('OPEN'))
    // An empty close frame; the node answers it and ends its half.
    socket.write(Buffer.from([0x88, 0x80, 0, 0, 0, 0]))
    await once(socket, 'end')
    await act(home)
    socket.end()
    await eventually('ended', () => home.gateway.connections === 0)
    expect(home.seen).toContain('closed by-peer')
    expect(await home.node.lookup([peerOf('default/a')])).toEqual([{ state: 'offline' }])
  })

  test('[PJ10] a drop without a close frame keeps it for its token, for the grace', async () => {
    const home = await house()
    const peer = await home.join('a', 'secret')
    await peer.cut()
    await eventually('dropped', () => home.gateway.connections === 0)
    expect(await home.node.lookup([peerOf('default/a')])).toMatchObject([{ state: 'away' }])
    const stranger = new PeerJsPeer({ url: home.url, id: 'a', token: 'other' })
    await takenAnswer(home, stranger)
    const back = await home.join('a', 'secret')
    await back.cut()
    await eventually('dropped', () => home.gateway.connections === 0)
    await home.clock.advance(defaultTimes.graceMs + 1_000)
    await home.join('a', 'other')
  })

  /** A socket that never answers anything: `until` something has come, and no longer. */
  async function goneAfter(home: House, token: string, until: RegExp): Promise<void> {
    const socket = connect(Number(new URL(home.url).port), '127.0.0.1')
    socket.write(
      `GET /peerjs?key=peerjs&id=a&token=${token} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n` +
        'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    )
    let heard = ''
    socket.on('data', (data: Buffer) => (heard += data.toString('latin1')))
    await eventually('answered', () => until.test(heard))
    socket.destroy()
    await eventually('gone', () => home.gateway.connections === 0)
  }

  // `destroy()` of PeerJS while its socket opens: a browser sends no close frame then.
  test('[PJ10] who goes before it has read OPEN holds no id', async () => {
    const home = await house()
    await goneAfter(home, 'first', /OPEN/)
    expect(await home.node.lookup([peerOf('default/a')])).toEqual([{ state: 'offline' }])
    const second = await home.join('a', 'second')
    expect(second.frames).toEqual(['{"type":"OPEN"}'])
  })

  test('[PJ10] nor who was never heard of again after OPEN', async () => {
    const home = await house()
    const peer = new PeerJsPeer({ url: home.url, id: 'a', token: 'first' })
    await once(peer.socket, 'upgrade')
    peer.socket.pause()
    await eventually('claimed', () => home.node.sessions.onlineCount === 1)
    await home.clock.advance(20_000)
    await eventually('cut', () => home.gateway.connections === 0)
    expect(home.seen).toContain('closed ping-timeout')
    expect(await home.node.lookup([peerOf('default/a')])).toEqual([{ state: 'offline' }])
  })

  test('[PJ10] [I8] who comes back for its id and goes before OPEN still has it', async () => {
    const home = await house()
    await (await home.join('a', 'first')).cut()
    await eventually('dropped', () => home.gateway.connections === 0)
    await goneAfter(home, 'first', /OPEN/)
    expect(await home.node.lookup([peerOf('default/a')])).toMatchObject([{ state: 'away' }])
    await home.join('a', 'first')
  })

  test('[PJ10] a page that is reloaded before its claim is through does not find its id taken', async () => {
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
    const home = await house({ wrap: slowClaim })
    const first = new PeerJsPeer({ url: home.url, id: 'a', token: 'first' })
    await once(first.socket, 'open')
    await eventually('claiming', () => claims === 1)
    await first.close(1001)
    await eventually('left', () => home.gateway.connections === 0)
    answer()
    const second = await home.join('a', 'second')
    expect(second.frames).toEqual(['{"type":"OPEN"}'])
  })

  test('[PJ10] LEAVE without dst gives the name back and ends the socket', async () => {
    const home = await house()
    const peer = await home.join('a')
    peer.send({ type: 'LEAVE' })
    await peer.ended()
    expect(await home.node.lookup([peerOf('default/a')])).toEqual([{ state: 'offline' }])
  })

  test('[PJ10] nobody is told LEAVE because a signaling socket ended', async () => {
    const home = await house()
    const [a, b, c] = [await home.join('a'), await home.join('b'), await home.join('c')]
    a.send(offer('b'))
    await b.next('OFFER')
    await a.cut()
    await c.close(1001)
    await eventually('gone', () => home.gateway.connections === 1)
    b.send(offer('b'))
    await b.next('OFFER', 1)
    expect(b.received.map(({ type }) => type)).toEqual(['OFFER', 'OFFER'])
  })

  test('[PJ15] who answers pings stays without a heartbeat; who does not is cut, and its name waits', async () => {
    const home = await house()
    const [quiet, frozen] = [await home.join('quiet'), await home.join('frozen')]
    frozen.socket.pause()
    const pings = once(quiet.socket, 'ping')
    for (let step = 0; step < 20; step++) {
      await home.clock.advance(1_000)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await pings
    await eventually('cut', () => home.gateway.connections === 1)
    expect(home.seen).toContain('closed ping-timeout')
    expect(await home.node.lookup([peerOf('default/frozen'), peerOf('default/quiet')])).toMatchObject([
      { state: 'away' },
      { state: 'online' },
    ])
  })

  test('[PJ15] [WC7] drain cuts in batches, so that the applications reconnect elsewhere; the names wait', async () => {
    const home = await house()
    const peers = await Promise.all(Array.from({ length: 20 }, (_, n) => home.join(`p${n}`)))
    home.node.beginDrain()
    const drained = home.gateway.drain(1_000)
    while (peers.some((peer) => peer.end === undefined)) {
      await home.clock.advance(100)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    await drained
    expect(new Set(peers.map((peer) => peer.end?.code))).toEqual(new Set([4000]))
    await eventually('ended', () => home.gateway.connections === 0)
    expect(await home.node.lookup([peerOf('default/p7')])).toMatchObject([{ state: 'away' }])
    const late = new PeerJsPeer({ url: home.url, id: 'late' })
    expect(await late.ended()).toMatchObject({ code: 1006 })
    expect(home.seen).toContain('rejected draining')
    const response = await fetch(`${home.url}/peerjs/id`)
    expect(response.status).toBe(503)
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
  })

  test('[PJ15] when everything has stopped, no timer is left', async () => {
    const home = await house()
    const a = await home.join('a')
    a.send(offer('nobody'))
    a.send('garbage')
    await eventually('held', () => home.seen.includes('signal held'))
    home.gateway.stop()
    await home.node.stop()
    expect(home.clock.pending).toBe(0)
  })
})
