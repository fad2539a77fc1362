import { once } from 'node:events'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { appOf, closeHouses, eventually, house, takenAnswer } from '../../testing/peerjs-house.js'
import { PeerJsPeer, offer } from '@peerage/test-support/peerjs.js'
import { Addresses } from '../shared/address.js'
import { Limits } from '../shared/limits.js'
import { unlimited } from '../../testing/unlimited.js'

afterEach(closeHouses)

describe('arriving', () => {
  test('[PJ1] only the exact path is ours; other upgrades are left to whoever owns them', async () => {
    const home = await house({ path: '/app' })
    const asked: string[] = []
    home.server.on('upgrade', (request, socket) => {
      if (request.url?.startsWith('/app/peerjs?')) return
      asked.push(request.url ?? '')
      socket.end('HTTP/1.1 418 Mine\r\nConnection: close\r\n\r\n')
    })
    for (const path of ['/peerjs', '/app/peerjs/', '/app/peerjsx', '/app', '/app/PEERJS', '/peerage/']) {
      const socket = new WebSocket(`${home.url.replace('http', 'ws')}${path}?key=peerjs&id=a&token=t`)
      const [error] = (await once(socket, 'error')) as [Error]
      expect(error.message).toContain('418')
    }
    expect(asked).toHaveLength(6)
    await PeerJsPeer.open({ url: home.url, id: 'a', path: '/app' }).then((peer) => peer.cut())
  })

  test('[PJ3] what is missing is said, and the close carries no code', async () => {
    const home = await house()
    const text = '{"type":"ERROR","payload":{"msg":"No id, token, or key supplied to websocket server"}}'
    for (const query of ['', 'id=a&token=t', 'key=peerjs&token=t', 'key=peerjs&id=a&token=']) {
      const peer = new PeerJsPeer({ url: home.url, id: 'a', query })
      expect(await peer.ended()).toEqual({ code: 1005, reason: '' })
      expect(peer.frames).toEqual([text])
    }
  })

  test('[PJ2] a key that is not served is refused; any key, or a mapping, where it is so configured', async () => {
    const one = await house()
    const wrong = new PeerJsPeer({ url: one.url, id: 'a', key: 'other' })
    expect(await wrong.ended()).toMatchObject({ code: 1005 })
    expect(wrong.frames).toEqual(['{"type":"ERROR","payload":{"msg":"Invalid key provided"}}'])

    const any = await house({ key: '*' })
    for (const key of ['peerjs', 'other', 'constructor']) {
      const peer = await PeerJsPeer.open({ url: any.url, id: `a-${key}`, key })
      await peer.cut()
    }
    for (const key of ['v1', 'peerage']) {
      const peer = new PeerJsPeer({ url: any.url, id: 'a', key })
      await peer.ended()
      expect(peer.frames[0]).toContain('Invalid key provided')
    }

    const mapped = await house({ key: { red: appOf('red'), blue: appOf('blue') } })
    const red = await PeerJsPeer.open({ url: mapped.url, id: 'same', key: 'red' })
    const blue = await PeerJsPeer.open({ url: mapped.url, id: 'same', key: 'blue' })
    expect([...mapped.node.sessions.allOnline()].map(({ peer }) => peer)).toEqual(['red/same', 'blue/same'])
    const neither = new PeerJsPeer({ url: mapped.url, id: 'same', key: 'toString' })
    await neither.ended()
    expect(neither.frames[0]).toContain('Invalid key provided')
    await Promise.all([red.cut(), blue.cut()])
  })

  test('[PJ4] a new id gets OPEN, whatever printable characters it is made of', async () => {
    const home = await house()
    for (const id of ['a', 'A-b_c d', 'ä€😀', '/../x?y#z&k=v', '__proto__', 'x'.repeat(128), '1']) {
      const peer = await home.join(id)
      expect(peer.frames).toEqual(['{"type":"OPEN"}'])
    }
  })

  test('[PJ4] an id outside the grammar of names is refused', async () => {
    const home = await house()
    for (const id of ['x'.repeat(129), 'a\0b', 'a\nb', '\u202e', '€'.repeat(43)]) {
      const peer = new PeerJsPeer({ url: home.url, id })
      await peer.ended()
      expect(peer.frames[0]).toMatch(/^{"type":"ERROR","payload":{"msg":"Invalid id provided: /)
    }
  })

  test('[PJ5] an id that another token holds is taken', async () => {
    const home = await house()
    const first = await home.join('a')
    const second = new PeerJsPeer({ url: home.url, id: 'a' })
    await takenAnswer(home, second)
    expect(await second.ended()).toMatchObject({ code: 1005 })
    expect(second.frames).toEqual(['{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}'])
    expect(first.end).toBeUndefined()
  })

  test('[PJ5] an id whose holder leaves while it is being claimed is not taken', async () => {
    const home = await house()
    const first = await home.join('a')
    const second = new PeerJsPeer({ url: home.url, id: 'a' })
    await eventually('refused once', () => home.gateway.connections === 2)
    await first.close(1001)
    await eventually('left', () => home.gateway.connections === 1)
    await home.clock.advance(200)
    await second.next('OPEN')
    await second.cut()
  })

  test('[PJ4] the same id with the same token is a resume: OPEN, and the old socket is closed [I8]', async () => {
    const home = await house()
    const old = await home.join('a', 'secret')
    const other = await home.join('b')
    const fresh = await home.join('a', 'secret')
    expect(await old.ended()).toMatchObject({ code: 4500 })
    other.send(offer('a'))
    await fresh.next('OFFER')
    expect(old.frames).toEqual(['{"type":"OPEN"}'])
    fresh.send(offer('b'))
    await other.next('OFFER')
  })

  test('[PJ3] the limit of this node counts peers, and not one that comes back', async () => {
    const home = await house({ concurrentLimit: 2 })
    await home.join('a', 'secret')
    const second = await home.join('b')
    const over = new PeerJsPeer({ url: home.url, id: 'c' })
    await over.ended()
    expect(over.frames).toEqual([
      '{"type":"ERROR","payload":{"msg":"Server has reached its concurrent user limit"}}',
    ])
    const resumed = await home.join('a', 'secret')
    await second.close()
    await eventually('gone', () => home.node.sessions.onlineCount === 1)
    await home.join('c')
    resumed.send(offer('c'))
  })

  test('[PJ13] a foreign Origin gets no WebSocket', async () => {
    const home = await house({ origins: ['https://good.example'] })
    for (const origin of [
      'https://evil.example',
      'null',
      'https://good.example.evil',
      'https://GOOD.example',
    ]) {
      const socket = new WebSocket(`${home.url.replace('http', 'ws')}/peerjs?key=peerjs&id=a&token=t`, {
        origin,
      })
      const [error] = (await once(socket, 'error')) as [Error]
      expect(error.message).toContain('403')
    }
    const good = await PeerJsPeer.open({
      url: home.url,
      id: 'a',
      headers: { origin: 'https://good.example' },
    })
    await good.cut()
  })

  test('[PJ11] a shared key travels in the token, before a ~ in the token, or in the key', async () => {
    const home = await house({ accessKey: 'a-shared-key-of-16' })
    const ways = [
      { id: 'in-token', token: 'a-shared-key-of-16' },
      { id: 'in-token-with-secret', token: 'a-shared-key-of-16~own' },
      { id: 'in-key', key: 'a-shared-key-of-16' },
    ]
    for (const way of ways) await PeerJsPeer.open({ url: home.url, ...way }).then((peer) => peer.cut())
    for (const [way, text] of [
      [{ token: 'wrong' }, 'Invalid token provided'],
      [{ key: 'wrong-too' }, 'Invalid key provided'],
    ] as const) {
      const refused = new PeerJsPeer({ url: home.url, id: 'x', ...way })
      await refused.ended()
      expect(refused.frames).toEqual([`{"type":"ERROR","payload":{"msg":"${text}"}}`])
    }
  })

  test('[PJ11] over the refused ones of its address, a right token is answered as a wrong one is', async () => {
    const home = await house({
      accessKey: 'a-shared-key-of-16',
      addresses: new Addresses(['127.0.0.1']),
      limitValues: { ...unlimited, address: { ...unlimited.address, failuresPerMinute: 3 } },
    })
    const claims = vi.spyOn(home.node, 'claim')
    const from = (address: string, token: string): PeerJsPeer =>
      new PeerJsPeer({ url: home.url, id: 'a', token, headers: { 'x-forwarded-for': address } })
    for (let i = 0; i < 3; i++) {
      const refused = from('192.0.2.1', `guess-${i}`)
      await refused.ended()
      expect(refused.frames).toEqual(['{"type":"ERROR","payload":{"msg":"Invalid token provided"}}'])
    }
    for (const token of ['another-guess', 'a-shared-key-of-16']) {
      const refused = from('192.0.2.1', token)
      // It waits for its answer, up to 2 s.
      const timer = setInterval(() => void home.clock.advance(100), 1)
      expect(await refused.ended().finally(() => clearInterval(timer))).toMatchObject({ code: 4004 })
      expect(refused.frames).toEqual([])
    }
    expect(claims).not.toHaveBeenCalled()
    const elsewhere = from('192.0.2.2', 'a-shared-key-of-16')
    await elsewhere.next('OPEN')
    await elsewhere.cut()
  })

  test('[PJ17] over the rate of refusals of its address a peer gets its answer a second late', async () => {
    const limits = new Limits(unlimited, new FakeClock())
    const home = await house({ limits })
    await home.join('taken')
    for (let i = 0; i < 100; i++) limits.refusedMs('127.0.0.1')
    const waits = vi.spyOn(home.clock, 'after')
    const isLate = (): boolean => waits.mock.calls.some(([ms]) => ms === 1_000)
    for (const [query, answer] of [
      ['', 'No id, token, or key supplied'],
      ['key=other&id=a&token=t', 'Invalid key provided'],
      ['key=peerjs&id=taken&token=another', 'ID is taken'],
    ] as const) {
      waits.mockClear()
      const peer = new PeerJsPeer({ url: home.url, id: 'a', query })
      const timer = setInterval(() => void (isLate() || home.clock.advance(50)), 1)
      await eventually('late', isLate)
      clearInterval(timer)
      expect(peer.frames).toEqual([])
      expect(peer.end).toBeUndefined()
      await home.clock.advance(1_000)
      await peer.ended()
      expect(peer.frames[0]).toContain(answer)
    }
  })

  test('[PJ11] a key that all peers share takes nobody its name [I9]', async () => {
    const home = await house({ accessKey: 'a-shared-key-of-16' })
    const first = await PeerJsPeer.open({ url: home.url, id: 'a', token: 'a-shared-key-of-16' })
    const second = new PeerJsPeer({ url: home.url, id: 'a', token: 'a-shared-key-of-16' })
    await takenAnswer(home, second)
    expect(first.end).toBeUndefined()
    await first.cut()
  })
})
