import { claimed, newPeer } from '@peerage/core/testing'
import { aclRules, createRedisBackend } from '@peerage/redis'
import { systemClock } from '@peerage/core'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readFile } from 'node:fs/promises'
import { makeCertificates } from '../support/certificates.js'
import { freePort } from '../support/ports.js'
import type { RedisServer } from '../support/redis.js'
import { startRedis } from '../support/redis.js'
import { startMeddler } from './meddler.js'
import type { RigNode } from './redis-rig.js'
import { ailments, eventually, isHealthy, reaches, rigTimes, startRigNode, succeeds } from './redis-rig.js'

const cleanups: (() => Promise<void>)[] = []
const unhandled: unknown[] = []
const onUnhandled = (reason: unknown): void => void unhandled.push(reason)
beforeEach(() => void process.on('unhandledRejection', onUnhandled))
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  process.off('unhandledRejection', onUnhandled)
  expect(unhandled.splice(0)).toEqual([])
})

async function redis(...options: Parameters<typeof startRedis>): Promise<RedisServer> {
  const server = await startRedis(...options)
  cleanups.push(() => server.stop())
  return server
}

async function rig(...options: Parameters<typeof startRigNode>): Promise<RigNode> {
  const node = await startRigNode(...options)
  cleanups.push(() => node.stop())
  return node
}

test('Redis absent at start: start does not hang, says why, retries, and is well when Redis comes', async () => {
  const port = await freePort()
  const begun = performance.now()
  const node = await rig(`redis://127.0.0.1:${port}`)
  expect(performance.now() - begun).toBeLessThan(3_000)
  expect(isHealthy(node)).toBe(false)
  expect(ailments(node).at(-1)).toContain('ECONNREFUSED')
  expect(node.errors.map(({ error }) => String(error)).join()).toContain('ECONNREFUSED')
  expect(await succeeds(node.backend.registry.lookup(newPeer()))).toBe(false)
  expect(await succeeds(node.backend.nodes.beat())).toBe(false)
  await eventually('some retries', () => node.beats.length > 10)
  // One line for the operator, not one for each retry of three connections.
  expect(node.errors.length).toBeLessThan(5)
  await redis({ port })
  await eventually('the node is healthy', () => isHealthy(node))
  await claimed(node, newPeer())
  await eventually('the bus is whole', () => reaches(node, node))
})

test('a host that does not answer: start does not hang, and says why', async () => {
  const server = await redis()
  await server.pause()
  const begun = performance.now()
  const node = await rig(server.url)
  expect(performance.now() - begun).toBeLessThan(4_000)
  expect(isHealthy(node)).toBe(false)
  await server.resume()
  await eventually('the node is healthy', () => isHealthy(node))
})

test('a Redis older than 7.0 is refused with its version', async () => {
  const server = await redis()
  const meddler = await startMeddler(server.port)
  cleanups.push(() => meddler.stop())
  meddler.rewrite((text) =>
    text.replace(/redis_version:\d+\.\d+\.\d+/u, (found) => 'redis_version:6.2'.padEnd(found.length, '0')),
  )
  const backend = createRedisBackend({
    url: meddler.url,
    times: rigTimes,
    clock: systemClock,
    onError: () => undefined,
  })
  cleanups.push(() => backend.stop())
  await expect(backend.start(() => undefined)).rejects.toThrow(/^Redis 6\.2\S* is older than 7\.0/)
})

test('a wrong password is said, and nothing hangs', async () => {
  const server = await redis({ config: { requirepass: 'right' }, login: { password: 'right' } })
  const node = await rig(server.url, { password: 'wrong' })
  expect(isHealthy(node)).toBe(false)
  expect(ailments(node).at(-1)).toContain('WRONGPASS')
  expect(await succeeds(node.backend.registry.lookup(newPeer()))).toBe(false)
  for (const { error } of node.errors) expect(String(error)).not.toContain('wrong')
})

test('on a Cluster too a wrong password is said, and nothing hangs', async () => {
  const config = { requirepass: 'right', masterauth: 'right' }
  const server = await redis({
    config: { ...config, 'cluster-enabled': 'yes' },
    login: { password: 'right' },
  })
  const node = await rig(server.url.replace('redis:', 'redis+cluster:'), { password: 'wrong' })
  await eventually('the reason is told', () => ailments(node).at(-1)?.includes('WRONGPASS') ?? false)
  expect(isHealthy(node)).toBe(false)
  expect(await succeeds(node.backend.registry.lookup(newPeer()))).toBe(false)
})

test('credentials come from the URL or apart from it', async () => {
  const server = await redis({
    acl: ['default off', 'peer%40 on >p:w/1 ~pg:* &pg:* +@all'],
    login: { username: 'peer%40', password: 'p:w/1' },
  })
  const inUrl = await rig(server.url.replace('redis://', 'redis://peer%2540:p%3Aw%2F1@'))
  await eventually('the node is healthy', () => isHealthy(inUrl))
  const apart = await rig(server.url, { username: 'peer%40', password: 'p:w/1' })
  await eventually('the node is healthy', () => isHealthy(apart))
})

test('[KEY3] a user that may do no more than our commands on our keys and channels is enough', async () => {
  const server = await redis({
    acl: ['default on nopass ~* &* +@all', `peerage on >pw ~pg:* &pg:* -@all ${aclRules.join(' ')}`],
  })
  const node = await rig(server.url, { username: 'peerage', password: 'pw' })
  await eventually('the node is healthy', () => isHealthy(node))
  const { registry, mailbox, presence, nodes } = node.backend
  const peer = newPeer()
  const changes: string[] = []
  presence.onChange((change) => changes.push(change.state))
  await presence.watch(peer)
  const lease = await claimed(node, peer)
  expect(await registry.renew([lease])).toEqual([])
  expect(await registry.reassert([lease])).toEqual({ lost: [], evicted: [] })
  await registry.suspend(lease, 10_000)
  await registry.release(lease)
  const message = { from: peer, to: peer, wire: 'peerjs', kind: 'signal', frame: 'x' } as const
  await mailbox.put(peer, message)
  await mailbox.put(peer, message)
  expect(await mailbox.take(peer)).toHaveLength(2)
  await eventually('changes are heard', () => changes.length === 3)
  await eventually('the bus is whole', () => reaches(node, node))
  await node.backend.inspect()
  await nodes.leave()
  expect(node.errors).toEqual([])
  expect(await server.cli('ACL', 'LOG')).toBe('')
})

test('TLS: trusted by the file that is given, refused with the reason without it', async () => {
  const certificates = await makeCertificates()
  cleanups.push(() => certificates.remove())
  const server = await redis({ tls: certificates })
  expect(server.url).toMatch(/^rediss:/)
  const trusting = await rig(server.url, { tls: { ca: await readFile(certificates.ca, 'utf8') } })
  await eventually('the node is healthy', () => isHealthy(trusting))
  await claimed(trusting, newPeer())
  await eventually('the bus is whole', () => reaches(trusting, trusting))
  const doubting = await rig(server.url)
  expect(isHealthy(doubting)).toBe(false)
  expect(ailments(doubting).at(-1)).toMatch(/certificate/)
})

test('another prefix is another cluster on the same Redis', async () => {
  const server = await redis()
  const [a, b] = [await rig(server.url), await rig(server.url, { prefix: 'staging:' })]
  const lease = await claimed(a, newPeer())
  expect(await b.backend.registry.lookup(lease.peer)).toBeUndefined()
  expect(await reaches(b, a)).toBe(false)
  await b.backend.nodes.beat()
  expect(b.backend.nodes.status(a.node)).toEqual({ state: 'unknown' })
  expect((await server.cli('KEYS', '*')).split('\n').every((key) => /^(pg|staging):/.test(key))).toBe(true)
})

test('what cannot be is refused before it connects, without the password in the words', () => {
  const make = (url: string, prefix = 'pg:') =>
    createRedisBackend({ url, prefix, times: rigTimes, clock: systemClock, onError: () => undefined })
  expect(() => make('http://x')).toThrow('Redis URL: ')
  expect(() => make('redis://u:secret@h:99999')).toThrow(/^Redis URL: (?!.*secret)/u)
  expect(() => make('redis://h', 'a{b}')).toThrow('Redis prefix: ')
})

test('inspect tells what doctor shows', async () => {
  const server = await redis({ config: { 'maxmemory-policy': 'allkeys-lru' } })
  const node = await rig(server.url)
  const inspection = await node.backend.inspect()
  expect(inspection).toMatchObject({ topology: 'standalone', maxmemoryPolicy: 'allkeys-lru' })
  expect(inspection.version).toMatch(/^[7-9]\./)
  expect(inspection.latencyMs).toBeLessThan(500)
  expect(Math.abs(inspection.clockSkewMs)).toBeLessThan(500)
})

test('[I16] after stop no connection, no subscription and no timer of ours is left', async () => {
  const server = await redis()
  const timers = (): number =>
    process.getActiveResourcesInfo().filter((one) => /Timeout|TCPSocket/u.test(one)).length
  const before = timers()
  const clients = async (): Promise<number> =>
    (await server.cli('CLIENT', 'LIST')).split('\n').filter((line) => line.includes('name=peerage-')).length
  for (let i = 0; i < 3; i++) {
    const node = await startRigNode(server.url)
    await eventually('the node is healthy', () => isHealthy(node))
    expect(await clients()).toBe(3)
    await node.stop()
    await eventually('connections are gone', async () => (await clients()) === 0)
  }
  await eventually('timers are gone', () => timers() <= before)
})
