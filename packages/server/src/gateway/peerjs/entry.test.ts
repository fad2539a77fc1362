import { once } from 'node:events'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { closeFixtures, eventually, startFixture, takenAnswer } from '../../testing/peerjs-fixture.js'
import { PeerJsPeer, offer } from '@peerage/test-support/peerjs.js'
import { Addresses } from '../shared/address.js'
import { Limits } from '../shared/limits.js'
import { unlimited } from '../../testing/unlimited.js'

afterEach(closeFixtures)

describe('arriving', () => {
  test('[PJ1] only upgrades at the exact path are taken, and all others are left to other listeners', async () => {
    const fixture = await startFixture({ path: '/app' })
    const asked: string[] = []
    fixture.server.on('upgrade', (request, socket) => {
      if (request.url?.startsWith('/app/peerjs?')) return
      asked.push(request.url ?? '')
      socket.end('HTTP/1.1 418 Mine\r\nConnection: close\r\n\r\n')
    })
    for (const path of ['/peerjs', '/app/peerjs/', '/app/peerjsx', '/app', '/app/PEERJS', '/peerage/']) {
      const socket = new WebSocket(`${fixture.url.replace('http', 'ws')}${path}?key=peerjs&id=a&token=t`)
      const [error] = (await once(socket, 'error')) as [Error]
      expect(error.message).toContain('418')
    }
    expect(asked).toHaveLength(6)
    await PeerJsPeer.open({ url: fixture.url, id: 'a', path: '/app' }).then((peer) => peer.cut())
  })

  test('[PJ3] a peer without id, token or key gets an ERROR and a close without a code', async () => {
    const fixture = await startFixture()
    const text = '{"type":"ERROR","payload":{"msg":"No id, token, or key supplied to websocket server"}}'
    for (const query of ['', 'id=a&token=t', 'key=peerjs&token=t', 'key=peerjs&id=a&token=']) {
      const peer = new PeerJsPeer({ url: fixture.url, id: 'a', query })
      expect(await peer.ended()).toEqual({ code: 1005, reason: '' })
      expect(peer.frames).toEqual([text])
    }
  })

  test('[PJ2] a key that is not served is refused; any key, or a mapping, can be configured', async () => {
    const one = await startFixture()
    const wrong = new PeerJsPeer({ url: one.url, id: 'a', key: 'other' })
    expect(await wrong.ended()).toMatchObject({ code: 1005 })
    expect(wrong.frames).toEqual(['{"type":"ERROR","payload":{"msg":"Invalid key provided"}}'])

    const any = await startFixture({ settings: { peerjs: { key: '*' } } })
    for (const key of ['peerjs', 'other', 'constructor']) {
      const peer = await PeerJsPeer.open({ url: any.url, id: `a-${key}`, key })
      await peer.cut()
    }
    for (const key of ['v1', 'peerage']) {
      const peer = new PeerJsPeer({ url: any.url, id: 'a', key })
      await peer.ended()
      expect(peer.frames[0]).toContain('Invalid key provided')
    }

    const mapped = await startFixture({ settings: { peerjs: { key: { red: 'red', blue: 'blue' } } } })
    const red = await PeerJsPeer.open({ url: mapped.url, id: 'same', key: 'red' })
    const blue = await PeerJsPeer.open({ url: mapped.url, id: 'same', key: 'blue' })
    expect([...mapped.node.sessions.allOnline()].map(({ peer }) => peer)).toEqual(['red/same', 'blue/same'])
    const neither = new PeerJsPeer({ url: mapped.url, id: 'same', key: 'toString' })
    await neither.ended()
    expect(neither.frames[0]).toContain('Invalid key provided')
    await Promise.all([red.cut(), blue.cut()])
  })

  test('[PJ4] a free id of any printable characters gets OPEN', async () => {
    const fixture = await startFixture()
    for (const id of ['a', 'A-b_c d', 'ä€😀', '/../x?y#z&k=v', '__proto__', 'x'.repeat(128), '1']) {
      const peer = await fixture.join(id)
      expect(peer.frames).toEqual(['{"type":"OPEN"}'])
    }
  })

  test('[PJ4] an id outside the grammar of names is refused', async () => {
    const fixture = await startFixture()
    for (const id of ['x'.repeat(129), 'a\0b', 'a\nb', '\u202e', '€'.repeat(43)]) {
      const peer = new PeerJsPeer({ url: fixture.url, id })
      await peer.ended()
      expect(peer.frames[0]).toMatch(/^{"type":"ERROR","payload":{"msg":"Invalid id provided: /)
    }
  })

  test('[PJ5] an id that another token holds gets ID-TAKEN', async () => {
    const fixture = await startFixture()
    const first = await fixture.join('a')
    const second = new PeerJsPeer({ url: fixture.url, id: 'a' })
    await takenAnswer(fixture, second)
    expect(await second.ended()).toMatchObject({ code: 1005 })
    expect(second.frames).toEqual(['{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}'])
    expect(first.end).toBeUndefined()
  })

  test('[PJ5] an id whose holder leaves during the claim gets OPEN', async () => {
    const fixture = await startFixture()
    const first = await fixture.join('a')
    const second = new PeerJsPeer({ url: fixture.url, id: 'a' })
    await eventually('refused once', () => fixture.gateway.connections === 2)
    await first.close(1001)
    await eventually('left', () => fixture.gateway.connections === 1)
    await fixture.clock.advance(200)
    await second.next('OPEN')
    await second.cut()
  })

  test('[PJ4] the same id with the same token resumes: it gets OPEN, and the old socket is closed [I8]', async () => {
    const fixture = await startFixture()
    const old = await fixture.join('a', 'secret')
    const other = await fixture.join('b')
    const fresh = await fixture.join('a', 'secret')
    expect(await old.ended()).toMatchObject({ code: 4500 })
    other.send(offer('a'))
    await fresh.next('OFFER')
    expect(old.frames).toEqual(['{"type":"OPEN"}'])
    fresh.send(offer('b'))
    await other.next('OFFER')
  })

  test('[PJ3] the concurrent limit does not count a peer that comes back twice', async () => {
    const fixture = await startFixture({ concurrentLimit: 2 })
    await fixture.join('a', 'secret')
    const second = await fixture.join('b')
    const over = new PeerJsPeer({ url: fixture.url, id: 'c' })
    await over.ended()
    expect(over.frames).toEqual([
      '{"type":"ERROR","payload":{"msg":"Server has reached its concurrent user limit"}}',
    ])
    const resumed = await fixture.join('a', 'secret')
    await second.close()
    await eventually('gone', () => fixture.node.sessions.onlineCount === 1)
    await fixture.join('c')
    resumed.send(offer('c'))
  })

  test('[PJ13] a page of a foreign origin gets 403 before the upgrade', async () => {
    const fixture = await startFixture({ settings: { origins: ['https://good.example'] } })
    for (const origin of [
      'https://evil.example',
      'null',
      'https://good.example.evil',
      'https://GOOD.example',
    ]) {
      const socket = new WebSocket(`${fixture.url.replace('http', 'ws')}/peerjs?key=peerjs&id=a&token=t`, {
        origin,
      })
      const [error] = (await once(socket, 'error')) as [Error]
      expect(error.message).toContain('403')
      expect(fixture.refused.at(-1)).toMatchObject({ wire: 'peerjs', code: 'origin', origin })
    }
    const good = await PeerJsPeer.open({
      url: fixture.url,
      id: 'a',
      headers: { origin: 'https://good.example' },
    })
    await good.cut()
  })

  test('[PJ11] a shared key may be in the token, before a ~ in the token, or in the key', async () => {
    const fixture = await startFixture({ settings: { access: { key: 'a-shared-key-of-16' } } })
    const ways = [
      { id: 'in-token', token: 'a-shared-key-of-16' },
      { id: 'in-token-with-secret', token: 'a-shared-key-of-16~own' },
      { id: 'in-key', key: 'a-shared-key-of-16' },
    ]
    for (const way of ways) await PeerJsPeer.open({ url: fixture.url, ...way }).then((peer) => peer.cut())
    for (const [way, text] of [
      [{ token: 'wrong' }, 'Invalid token provided'],
      [{ key: 'wrong-too' }, 'Invalid key provided'],
    ] as const) {
      const refused = new PeerJsPeer({ url: fixture.url, id: 'x', ...way })
      await refused.ended()
      expect(refused.frames).toEqual([`{"type":"ERROR","payload":{"msg":"${text}"}}`])
      expect(fixture.refused.at(-1)).toEqual({
        wire: 'peerjs',
        code: 'forbidden',
        app: 'default',
        detail: text,
        origin: undefined,
      })
    }
  })

  test('[PJ11] from an address with too many refusals, a right token gets the answer of a wrong one', async () => {
    const fixture = await startFixture({
      settings: { access: { key: 'a-shared-key-of-16' } },
      addresses: new Addresses(['127.0.0.1']),
      limitValues: { ...unlimited, address: { ...unlimited.address, failuresPerMinute: 3 } },
    })
    const claims = vi.spyOn(fixture.node, 'claim')
    const from = (address: string, token: string): PeerJsPeer =>
      new PeerJsPeer({ url: fixture.url, id: 'a', token, headers: { 'x-forwarded-for': address } })
    for (let i = 0; i < 3; i++) {
      const refused = from('192.0.2.1', `guess-${i}`)
      await refused.ended()
      expect(refused.frames).toEqual(['{"type":"ERROR","payload":{"msg":"Invalid token provided"}}'])
    }
    for (const token of ['another-guess', 'a-shared-key-of-16']) {
      const refused = from('192.0.2.1', token)
      // The answer comes up to 2 s late.
      const timer = setInterval(() => void fixture.clock.advance(100), 1)
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
    const fixture = await startFixture({ limits })
    await fixture.join('taken')
    for (let i = 0; i < 100; i++) limits.refusedMs('127.0.0.1')
    const waits = vi.spyOn(fixture.clock, 'after')
    const isLate = (): boolean => waits.mock.calls.some(([ms]) => ms === 1_000)
    for (const [query, answer] of [
      ['', 'No id, token, or key supplied'],
      ['key=other&id=a&token=t', 'Invalid key provided'],
      ['key=peerjs&id=taken&token=another', 'ID is taken'],
    ] as const) {
      waits.mockClear()
      const peer = new PeerJsPeer({ url: fixture.url, id: 'a', query })
      const timer = setInterval(() => void (isLate() || fixture.clock.advance(50)), 1)
      await eventually('late', isLate)
      clearInterval(timer)
      expect(peer.frames).toEqual([])
      expect(peer.end).toBeUndefined()
      await fixture.clock.advance(1_000)
      await peer.ended()
      expect(peer.frames[0]).toContain(answer)
    }
  })

  test('[PJ11] a key that all peers share cannot take a name from its holder [I9]', async () => {
    const fixture = await startFixture({ settings: { access: { key: 'a-shared-key-of-16' } } })
    const first = await PeerJsPeer.open({ url: fixture.url, id: 'a', token: 'a-shared-key-of-16' })
    const second = new PeerJsPeer({ url: fixture.url, id: 'a', token: 'a-shared-key-of-16' })
    await takenAnswer(fixture, second)
    expect(first.end).toBeUndefined()
    await first.cut()
  })
})
