import type {
  Ban,
  BatchResult,
  AppServer,
  Disconnected,
  ListedPeer,
  Member,
  Minted,
} from '@peerage/client/api'
import {
  createApi,
  type ApiErrorCode,
  type Grants,
  type MessageResult,
  type NodeState,
} from '@peerage/client/api'
import { afterEach, expect, expectTypeOf, test, vi } from 'vitest'
import type { z } from 'zod'
import { KEY, closeApiFixtures, startApi } from '../testing/api-fixture.js'
import { operationIds } from './operations.js'
import type { ProblemCode } from './problems.js'
import type { shapes } from './schemas.js'

afterEach(closeApiFixtures)

/** The API of a node, and a typed client for it. */
async function started() {
  const fixture = await startApi()
  const api = createApi({ url: fixture.url.replace(/\/v1$/, ''), key: KEY })
  return { ...fixture, api: api, http: fixture.api }
}

type Answer<K extends keyof typeof shapes> = z.output<(typeof shapes)[K]>

test('[API40] the typed client has a method for each operation of the document', () => {
  const api = createApi({ url: 'http://localhost', key: KEY })
  for (const id of operationIds) expect(api[id], id).toBeTypeOf('function')
})

test('[API40] the types of the typed client are those of the schemas', () => {
  expectTypeOf<Exclude<ApiErrorCode, 'unreachable' | 'not-an-api'>>().toEqualTypeOf<ProblemCode>()
  expectTypeOf<Answer<'sent'>['result']>().toEqualTypeOf<MessageResult>()
  expectTypeOf<Answer<'batchSent'>['results'][number]['result']>().toEqualTypeOf<BatchResult>()
  expectTypeOf<Required<Answer<'peer'>>>().toExtend<Required<ListedPeer>>()
  expectTypeOf<Answer<'members'>['members'][number]>().toExtend<Member>()
  expectTypeOf<Required<Answer<'closed'>>>().toEqualTypeOf<Required<Disconnected>>()
  expectTypeOf<Required<Answer<'bans'>['bans'][number]>>().toEqualTypeOf<Required<Ban>>()
  expectTypeOf<Answer<'minted'>>().toEqualTypeOf<Minted>()
  expectTypeOf<Answer<'nodes'>['nodes'][number]>().toEqualTypeOf<NodeState>()
  expectTypeOf<Answer<'server'>>().toEqualTypeOf<AppServer>()
  expectTypeOf<Grants>().toExtend<NonNullable<Answer<'mint'>['peerage']>>()
})

test('[API40] every operation of the typed client works against a node', async () => {
  const { api, peer, answers, disconnects } = await started()
  const alice = await peer('alice')
  const got: unknown[] = []
  alice.on('message', (_, data) => got.push(data))
  await vi.waitFor(async () => expect(await api.countPeers()).toBe(1))
  const expected = { name: 'alice', state: 'online', since: alice.since }
  expect(await api.getPeer('alice')).toMatchObject(expected)
  expect(await api.getPeer('count')).toBeUndefined()
  expect(await api.listPeers({ limit: 5, state: 'online' })).toMatchObject({ peers: [expected] })
  const all: unknown[] = []
  for await (const one of api.allPeers()) all.push(one)
  expect(all).toMatchObject([expected])
  expect(await api.sendToPeer('alice', { a: 1 })).toBe('delivered')
  expect(await api.sendToPeer('nobody', 'x')).toBe('unavailable')
  expect(await api.sendToPeers(['alice', 'nobody'], new Uint8Array([1]))).toEqual([
    { name: 'alice', result: 'delivered' },
    { name: 'nobody', result: 'unavailable' },
  ])
  expect(await api.broadcast('all')).toEqual({ peers: 1 })
  await vi.waitFor(() => expect(got).toEqual([{ a: 1 }, new Uint8Array([1]), 'all']))
  await api.sendToRoom('hall', 'x')
  await alice.join('hall')
  expect((await api.listMembers('hall', { limit: 1 })).members).toEqual([expected])
  expect(await api.disconnectPeer('bob', { code: 4900, reason: 'bye', banMs: 1_000 })).toEqual({
    closed: 0,
    until: expect.any(Number),
  })
  expect(await api.disconnectIdentity('bob')).toEqual({ closed: 0 })
  expect(disconnects).toHaveLength(2)
  expect((await api.listBans()).bans).toMatchObject([{ kind: 'name', value: 'bob' }])
  expect([await api.liftBan('name', 'bob'), await api.liftBan('name', 'bob')]).toEqual([true, false])
  expect(await api.mintToken({ sub: 'alice' })).toMatchObject({ token: 'a.b.c' })
  expect(await api.revokeTokens({ jti: 'id' })).toMatchObject({ closed: 0 })
  expect(await api.listNodes()).toMatchObject([{ state: 'live' }])
  expect(await api.putServer({ id: 'a', address: 'x' })).toMatchObject({ id: 'a', status: 'up' })
  expect((await api.listServers()).servers).toEqual([{ id: 'a', address: 'x', status: 'up' }])
  expect(await api.getServer('a')).toEqual({ id: 'a', address: 'x', status: 'up' })
  expect([await api.removeServer('a'), await api.removeServer('a')]).toEqual([true, false])
  expect(await api.getServer('a')).toBeUndefined()
  const called = new Set(answers.map((line) => line.split(' ')[0]))
  expect([...called].toSorted()).toEqual(operationIds.toSorted())
})

test('[API40] an application server stays registered until it stops', async () => {
  const { api } = await started()
  const registration = await api.registerServer({ id: 'a', address: 'x' })
  await registration.update({ status: 'busy' })
  expect(await api.getServer('a')).toMatchObject({ status: 'busy' })
  await registration.stop()
  expect((await api.listServers()).servers).toEqual([])
})
