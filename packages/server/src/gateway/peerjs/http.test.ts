import { afterEach, describe, expect, test } from 'vitest'
import type { Fixture } from '../../testing/peerjs-fixture.js'
import { closeFixtures, eventually, startFixture } from '../../testing/peerjs-fixture.js'
import { Addresses } from '../shared/address.js'
import { PeerJsPeer } from '@peerage/test-support/peerjs.js'
import { unlimited } from '../../testing/unlimited.js'

afterEach(closeFixtures)

test('[PJ12] an application may make the ids, and is told who comes and goes', async () => {
  const heard: string[] = []
  const fixture = await startFixture({
    generateId: () => 'made-up',
    onPeer: (event, peer) => heard.push(`${event} ${peer}`),
  })
  expect(await (await fetch(`${fixture.url}/peerjs/id`)).text()).toBe('made-up')
  const peer = await fixture.join('made-up')
  await peer.close()
  await eventually('gone', () => heard.length === 2)
  expect(heard).toEqual(['connection default/made-up', 'disconnect default/made-up'])
})

describe('guesses of a key', () => {
  const KEY = 'a-shared-key-of-the-test'
  const limitValues = { ...unlimited, address: { ...unlimited.address, failuresPerMinute: 4 } }
  const get = async (fixture: Fixture, path: string): Promise<string> => {
    const answer = await fetch(`${fixture.url}${path}`)
    return answer.status === 401 ? '401' : answer.text()
  }
  const generateId = (): string => 'an id'

  test.each(['id', 'peers'])(
    '[PJ12] /%s: after too many wrong keys the right key gets the answer of a wrong one',
    async (what) => {
      const fixture = await startFixture({
        settings: { access: { key: KEY }, peerjs: { allowDiscovery: true } },
        generateId,
        limitValues,
      })
      const right = what === 'id' ? 'an id' : '[]'
      expect(await get(fixture, `/${KEY}/${what}`)).toBe(right)
      for (let i = 0; i < 4; i++) expect(await get(fixture, `/guess-${i}/${what}`)).toBe('the application')
      expect(await get(fixture, `/${KEY}/${what}`)).toBe('the application')
      // A wrong default key does not count as a guess, because everybody knows that key.
      expect(await get(fixture, '/peerjs/id')).toBe('an id')
      expect(await get(fixture, '/peerjs/peers')).toBe('401')
      await fixture.clock.advance(15_000)
      expect(await get(fixture, `/${KEY}/${what}`)).toBe(right)
    },
  )

  test('[PJ12] the same holds if any key is served, and with a key of the operator’s own', async () => {
    const any = await startFixture({
      settings: { access: { key: KEY }, peerjs: { key: '*', allowDiscovery: true } },
      generateId,
      limitValues,
    })
    expect(await get(any, `/${KEY}/peers`)).toBe('[]')
    for (let i = 0; i < 4; i++) expect(await get(any, `/guess-${i}/peers`)).toBe('401')
    expect(await get(any, `/${KEY}/peers`)).toBe('401')
    expect([await get(any, `/${KEY}/id`), await get(any, '/guess/id')]).toEqual(['an id', 'an id'])
    for (const key of ['mine', { mine: 'one' }]) {
      const own = await startFixture({ settings: { peerjs: { key } }, generateId, limitValues })
      for (let i = 0; i < 4; i++) expect(await get(own, `/guess-${i}/id`)).toBe('the application')
      expect(await get(own, '/mine/id')).toBe('the application')
    }
  })

  test('[PJ12] if no key is secret, an application’s paths are not counted as guesses', async () => {
    const fixture = await startFixture({ generateId, limitValues })
    for (let i = 0; i < 20; i++) expect(await get(fixture, '/users/id')).toBe('the application')
    expect(await get(fixture, '/peerjs/id')).toBe('an id')
  })

  test('[PJ12] the rate of lookups also bounds how often the access rules are asked for /peers', async () => {
    let asked = 0
    const fixture = await startFixture({
      settings: { peerjs: { key: '*', allowDiscovery: true } },
      access: {
        admit: () => {
          asked++
          return Promise.resolve({ ok: false, code: 'forbidden', detail: 'no' })
        },
      },
      limitValues: { ...unlimited, address: { ...unlimited.address, lookupsPerSecond: 5 } },
      addresses: new Addresses(['127.0.0.1']),
    })
    const statuses = new Set<number>()
    for (let i = 0; i < 20; i++) {
      const headers = { 'x-forwarded-for': '198.51.100.7' }
      statuses.add((await fetch(`${fixture.url}/guess-${i}/peers`, { headers })).status)
    }
    expect([asked, ...statuses]).toEqual([10, 401, 429])
  })
})

describe('HTTP', () => {
  test('[PJ12] /id returns a fresh id, and CORS reflects the origin', async () => {
    const fixture = await startFixture()
    const answer = await fetch(`${fixture.url}/peerjs/id?ts=1&version=1.5.5`, {
      headers: { origin: 'https://a.example' },
    })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://a.example')
    expect(answer.headers.get('vary')).toBe('Origin')
    expect(await answer.text()).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    )
    const own = await startFixture({ generateId: () => 'mine', cors: ['https://good.example'] })
    const custom = await fetch(`${own.url}/peerjs/id`, { headers: { origin: 'https://a.example' } })
    expect(await custom.text()).toBe('mine')
    expect(custom.headers.get('access-control-allow-origin')).toBeNull()
  })

  test('[PJ12] OPTIONS is answered with 204', async () => {
    const fixture = await startFixture()
    const answer = await fetch(`${fixture.url}/peerjs/id`, {
      method: 'OPTIONS',
      headers: { origin: 'https://a.example', 'access-control-request-headers': 'x-a' },
    })
    expect(answer.status).toBe(204)
    expect(answer.headers.get('access-control-allow-methods')).toContain('GET')
    expect(answer.headers.get('access-control-allow-headers')).toBe('x-a')
  })

  test('[PJ12] /peers lists the ids that are online, if it is allowed', async () => {
    const closed = await startFixture()
    const refused = await fetch(`${closed.url}/peerjs/peers`)
    expect([refused.status, await refused.text()]).toEqual([401, 'Unauthorized'])
    const fixture = await startFixture({ settings: { peerjs: { allowDiscovery: true } } })
    await fixture.join('a')
    const away = await fixture.join('b')
    await away.cut()
    await eventually('away', () => fixture.gateway.connections === 1)
    const answer = await fetch(`${fixture.url}/peerjs/peers`)
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(await answer.text()).toBe('["a"]')
    await fixture.join('c')
    expect(await (await fetch(`${fixture.url}/peerjs/peers`)).text()).toBe('["a"]')
    await fixture.clock.advance(2_000)
    expect(await (await fetch(`${fixture.url}/peerjs/peers`)).json()).toEqual(['a', 'c'])
  })

  test('[PJ12] with a mapping each key sees its own app, and with a shared key only that key sees ids', async () => {
    const mapped = await startFixture({
      settings: { peerjs: { allowDiscovery: true, key: { red: 'red', blue: 'blue' } } },
    })
    const red = await PeerJsPeer.open({ url: mapped.url, id: 'r', key: 'red' })
    expect(await (await fetch(`${mapped.url}/red/peers`)).json()).toEqual(['r'])
    expect(await (await fetch(`${mapped.url}/blue/peers`)).json()).toEqual([])
    await red.cut()
    const locked = await startFixture({
      settings: { access: { key: 'a-shared-key-of-16' }, peerjs: { allowDiscovery: true } },
    })
    expect((await fetch(`${locked.url}/peerjs/peers`)).status).toBe(401)
    expect((await fetch(`${locked.url}/a-shared-key-of-16/peers`)).status).toBe(200)
  })

  test('[PJ12] other requests are left to the application', async () => {
    const fixture = await startFixture()
    for (const path of [
      '/',
      '/users/id',
      '/v1/id',
      '/peerage/peers',
      '/peerjs',
      '/peerjs/id/x',
      '/a/peerjs/id',
    ])
      expect(await (await fetch(`${fixture.url}${path}`)).text()).toBe('the application')
    expect(await (await fetch(`${fixture.url}/peerjs/id`, { method: 'POST' })).text()).toBe('the application')
    const mounted = await startFixture({ path: '/app' })
    expect(await (await fetch(`${mounted.url}/app`)).json()).toMatchObject({ name: 'Peerage' })
    expect((await fetch(`${mounted.url}/app/peerjs/id`)).status).toBe(200)
    expect(await (await fetch(`${mounted.url}/peerjs/id`)).text()).toBe('the application')
  })
})
