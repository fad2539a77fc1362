import { afterEach, expect, test, vi } from 'vitest'
import type { Called } from '../testing/api-document.js'
import type { ApiFixture } from '../testing/api-fixture.js'
import { OTHER_KEY, closeApiFixtures, startApi } from '../testing/api-fixture.js'

afterEach(closeApiFixtures)

/** Reads all pages of a list. */
async function all(call: ApiFixture['call'], path: string, of: string): Promise<unknown[]> {
  const found: unknown[] = []
  for (let cursor = ''; ;) {
    const { json } = await call(`${path}${cursor}`)
    const page = json as Record<string, unknown> & { next?: string }
    found.push(...(page[of] as unknown[]))
    if (page.next === undefined) return found
    cursor = `&cursor=${encodeURIComponent(page.next)}`
  }
}

async function listed(call: ApiFixture['call'], names: string[], key?: string): Promise<void> {
  await vi.waitFor(async () => {
    const { json } = await call('/peers?limit=1000', key === undefined ? {} : { key })
    expect((json as { peers: { name: string }[] }).peers.map(({ name }) => name).toSorted()).toEqual(names)
  })
}

test('[API14] the pages of the list have every name once, whatever their size', async () => {
  const { call, peer, server } = await startApi()
  const names = Array.from({ length: 30 }, (_, i) => `peer-${String(i).padStart(2, '0')}`)
  await Promise.all(names.map((name) => peer(name)))
  await listed(call, names)
  for (const limit of [1, 7, 1_000]) {
    const peers = (await all(call, `/peers?limit=${limit}`, 'peers')) as { name: string; node: string }[]
    expect(peers.map(({ name }) => name).toSorted()).toEqual(names)
    expect(new Set(peers.map(({ node }) => node))).toEqual(new Set([server.node.id]))
  }
})

test('[API14] only those in one state, if that is asked', async () => {
  const { call, peer } = await startApi()
  await peer('here')
  const gone = await peer('gone')
  gone.close()
  await vi.waitFor(async () => {
    expect(await all(call, '/peers?state=away', 'peers')).toMatchObject([{ name: 'gone', state: 'away' }])
  })
  expect(await all(call, '/peers?state=online', 'peers')).toMatchObject([{ name: 'here', state: 'online' }])
})

test('[API9] an app sees, counts and finds its own names only', async () => {
  const { call, peer } = await startApi()
  await Promise.all([peer('mine'), peer('both'), peer('both', 'other'), peer('theirs', 'other')])
  await listed(call, ['both', 'mine'])
  await listed(call, ['both', 'theirs'], OTHER_KEY)
  expect((await call('/peers/count')).json).toEqual({ count: 2 })
  expect((await call('/peers/theirs')).status).toBe(404)
  expect((await call('/peers/theirs', { key: OTHER_KEY })).status).toBe(200)
  expect((await call('/peers/theirs/messages', { body: { data: 1 } })).json).toEqual({
    result: 'unavailable',
  })
})

const cursorOf = ({ json }: Called): string => (json as { next: string }).next

test('[API9] a cursor of another app or another list is refused', async () => {
  const { call, peer } = await startApi()
  await Promise.all([peer('a'), peer('b')])
  await listed(call, ['a', 'b'])
  const peers = cursorOf(await call('/peers?limit=1'))
  for (const name of ['c', 'd']) await (await peer(name)).join('hall')
  const members = cursorOf(await call('/rooms/hall/members?limit=1'))
  for (const id of ['s1', 's2', 's3']) await call(`/servers/${id}`, { method: 'PUT', body: { address: 'x' } })
  const servers = cursorOf(await call('/servers?limit=1'))
  for (const [path, cursor, key] of [
    ['/peers', peers, OTHER_KEY],
    ['/peers', members],
    ['/peers', servers],
    ['/servers', peers],
    ['/bans', servers],
    ['/rooms/hall/members', peers],
    ['/rooms/other/members', members],
    ['/peers', 'nonsense'],
    ['/peers', Buffer.from('["default","peers",-1]').toString('base64url')],
    ['/peers', Buffer.from('["default","peers",16]').toString('base64url')],
    ['/peers', Buffer.from('["default","peers",0,"a","b"]').toString('base64url')],
    ['/peers', Buffer.from('["default","peers",0,7]').toString('base64url')],
    ['/peers', Buffer.from('{}').toString('base64url')],
    ['/servers', Buffer.from('["default","servers",7]').toString('base64url')],
  ] as const)
    expect(
      await call(`${path}?cursor=${cursor}`, key === undefined ? {} : { key }),
      `${path} ${Buffer.from(cursor, 'base64url').toString()}`,
    ).toMatchObject({ status: 400, json: { code: 'bad-cursor' } })
})

test('[API15] the count has no names that the API claimed for itself', async () => {
  const { call, peer } = await startApi()
  const alice = await peer('alice')
  alice.on('message', () => {})
  await call('/peers/alice/messages', { body: { data: 1 } })
  await listed(call, ['alice'])
  expect((await call('/peers/count')).json).toEqual({ count: 1 })
})

test('[API16] one peer has its state, its since and its node; a name with a slash or of the word count is found', async () => {
  const { call, peer, server } = await startApi()
  for (const name of ['a/b', 'count', 'é 1']) {
    const { since } = await peer(name)
    const path = name === 'count' ? '%63ount' : encodeURIComponent(name)
    expect((await call(`/peers/${path}`)).json).toEqual({
      name,
      state: 'online',
      since,
      node: server.node.id,
    })
  }
})

test('[API17] the members of a room come in pages, and a room without members is an empty list', async () => {
  const { call, peer } = await startApi()
  const names = ['ada', 'bob', 'eve']
  for (const name of names) await (await peer(name)).join('a/b')
  for (const limit of [1, 2, 256]) {
    const members = await all(call, `/rooms/a%2Fb/members?limit=${limit}`, 'members')
    expect(members).toMatchObject(names.map((name) => ({ name, state: 'online' })))
  }
  expect((await call('/rooms/empty/members')).json).toEqual({ members: [] })
})

test('[API35] the nodes have ids and states, and no addresses', async () => {
  const { call, server } = await startApi()
  expect((await call('/nodes')).json).toEqual({ nodes: [{ id: server.node.id, state: 'live' }] })
})

test('[API36] an application server registers, is found and listed by its own app, and is removed', async () => {
  const { call } = await startApi()
  const put = await call('/servers/web-1', { method: 'PUT', body: { address: 'https://web-1.example' } })
  expect(put.json).toEqual({ id: 'web-1', address: 'https://web-1.example', status: 'up', ttlMs: 30_000 })
  const found = { id: 'web-1', address: 'https://web-1.example', status: 'busy' }
  await call('/servers/web-1', { method: 'PUT', body: { address: found.address, status: 'busy' } })
  expect((await call('/servers/web-1')).json).toEqual(found)
  expect((await call('/servers')).json).toEqual({ servers: [found] })
  expect((await call('/servers', { key: OTHER_KEY })).json).toEqual({ servers: [] })
  expect((await call('/servers/web-1', { key: OTHER_KEY })).status).toBe(404)
  expect((await call('/servers/web-1', { method: 'DELETE', key: OTHER_KEY })).status).toBe(404)
  expect(await call('/servers/web-1', { method: 'DELETE' })).toMatchObject({ status: 204, text: '' })
  expect((await call('/servers/web-1', { method: 'DELETE' })).status).toBe(404)
})

test('[API36] an app has at most 1,000 servers', async () => {
  const { call, store } = await startApi()
  store.records.put = () => Promise.resolve('full')
  expect(await call('/servers/a', { method: 'PUT', body: { address: 'x' } })).toMatchObject({
    status: 409,
    json: { code: 'too-many' },
  })
})
