import { afterEach, expect, test, vi } from 'vitest'
import { closeApiFixtures, startApi } from '../testing/api-fixture.js'

afterEach(closeApiFixtures)

test('[API20] a message is delivered when the SDK of the recipient has acknowledged it, and is marked', async () => {
  const { call, peer } = await startApi()
  const alice = await peer('alice')
  const got: unknown[] = []
  alice.on('message', (from, data, about) => got.push([from, data, about]))
  expect(await call('/peers/alice/messages', { body: { data: { n: 1 } } })).toMatchObject({
    status: 200,
    json: { result: 'delivered' },
  })
  expect(await call('/peers/alice/messages', { body: { base64: 'AQID' } })).toMatchObject({ status: 200 })
  expect(got).toMatchObject([
    [expect.any(String), { n: 1 }, { server: true }],
    [expect.any(String), new Uint8Array([1, 2, 3]), { server: true }],
  ])
})

test('[API20] null is data too', async () => {
  const { call, peer } = await startApi()
  const alice = await peer('alice')
  const got: unknown[] = []
  alice.on('message', (_, data) => got.push(data))
  expect((await call('/peers/alice/messages', { body: { data: null } })).status).toBe(200)
  expect(got).toEqual([null])
})

test('[API21] a name that nobody holds is unavailable, a peer without an answer is a timeout', async () => {
  const { call, peer } = await startApi()
  await peer('mute')
  expect(await call('/peers/nobody/messages', { body: { data: 1 } })).toMatchObject({
    status: 200,
    json: { result: 'unavailable' },
  })
  expect(await call('/peers/mute/messages', { body: { data: 1, timeoutMs: 200 } })).toMatchObject({
    status: 200,
    json: { result: 'timeout' },
  })
})

test('[API21] a peer that is away until the deadline is away', async () => {
  const { call, peer } = await startApi()
  const gone = await peer('gone')
  gone.close()
  await vi.waitFor(async () => {
    expect((await call('/peers/gone')).json).toMatchObject({ state: 'away' })
  })
  expect((await call('/peers/gone/messages', { body: { data: 1, timeoutMs: 300 } })).json).toEqual({
    result: 'away',
  })
})

test('[API24] [WR14] the messages of peers to the name of an application server are refused', async () => {
  const { call, peer } = await startApi()
  const alice = await peer('alice')
  const from = new Promise<string>((resolve) => alice.on('message', resolve))
  await call('/peers/alice/messages', { body: { data: 1 } })
  await expect(alice.send(await from, 'answer')).rejects.toMatchObject({
    code: 'forbidden',
    message: expect.stringContaining('or it is that of an application server'),
  })
  expect((await call(`/peers/${await from}/messages`, { body: { data: 1 } })).json).toEqual({
    result: 'unavailable',
  })
})

test('[API22] each recipient of a batch has a result of its own, in order', async () => {
  const { call, peer } = await startApi()
  const alice = await peer('alice')
  alice.on('message', () => {})
  const { status, json } = await call('/messages', { body: { to: ['nobody', 'alice'], data: 'x' } })
  expect([status, json]).toEqual([
    200,
    {
      results: [
        { name: 'nobody', result: 'unavailable' },
        { name: 'alice', result: 'delivered' },
      ],
    },
  ])
})

test('[API23] a broadcast reaches each peer that is online', async () => {
  const { call, peer, errors } = await startApi()
  const peers = await Promise.all(['a', 'b', 'c'].map((name) => peer(name)))
  const outsider = await peer('d', 'other')
  const got: string[] = []
  for (const one of [...peers, outsider])
    one.on('message', (_, data) => got.push(`${one.name} ${String(data)}`))
  await vi.waitFor(async () => {
    expect((await call('/peers/count')).json).toEqual({ count: 3 })
  })
  expect(await call('/broadcast', { body: { data: 'hi' } })).toMatchObject({
    status: 202,
    json: { result: 'accepted', peers: 3 },
  })
  await vi.waitFor(() => {
    expect(got.toSorted()).toEqual(['a hi', 'b hi', 'c hi'])
  })
  expect(errors).toEqual([])
})

test('[API23] recipients that acknowledge nothing hold up no others', async () => {
  const { call, peer } = await startApi()
  const silent = await Promise.all(Array.from({ length: 120 }, (_, i) => peer(`silent-${i}`)))
  expect(silent).toHaveLength(120)
  const others = await Promise.all(['x', 'y', 'z'].map((name) => peer(name)))
  const got: string[] = []
  for (const one of others) one.on('message', () => got.push(one.name))
  await vi.waitFor(async () => {
    expect((await call('/peers/count')).json).toEqual({ count: 123 })
  })
  expect((await call('/broadcast', { body: { data: 'hi' } })).status).toBe(202)
  await vi.waitFor(() => expect(got.toSorted()).toEqual(['x', 'y', 'z']), { timeout: 5_000 })
})

test('[API23] a broadcast of a long message reaches everybody, too', async () => {
  const { call, peer } = await startApi()
  const peers = await Promise.all(Array.from({ length: 60 }, (_, i) => peer(`peer-${i}`)))
  const got = new Set<string>()
  for (const one of peers) one.on('message', () => got.add(one.name))
  await vi.waitFor(async () => {
    expect((await call('/peers/count')).json).toEqual({ count: 60 })
  })
  expect((await call('/broadcast', { body: { data: 'x'.repeat(190_000) } })).status).toBe(202)
  await vi.waitFor(() => expect(got.size).toBe(60), { timeout: 10_000 })
})

test('[API25] every member of a room hears it once, with the mark, and the sender is no member', async () => {
  const { call, peer } = await startApi()
  const rooms = await Promise.all(['ada', 'bob'].map(async (name) => (await peer(name)).join('team/1')))
  const got: unknown[] = []
  for (const room of rooms) room.on('message', (_, data, about) => got.push([data, about.server]))
  for (const data of ['x', 'y'])
    expect(await call('/rooms/team%2F1/messages', { body: { data } })).toMatchObject({
      status: 200,
      json: { result: 'sent' },
    })
  await vi.waitFor(() => expect(got).toHaveLength(4))
  for (const data of ['x', 'y'])
    expect(got.filter((one) => JSON.stringify(one) === `["${data}",true]`)).toHaveLength(2)
  expect((await call('/rooms/team%2F1/members')).json).toMatchObject({
    members: [{ name: 'ada' }, { name: 'bob' }],
  })
  expect((await call('/rooms/r/messages', { body: { data: 'x'.repeat(49_152) } })).status).toBe(413)
})
