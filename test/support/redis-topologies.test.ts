import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { makeDirectory, removeDirectory } from './fixture.js'
import { startRedisCluster } from './redis-cluster.js'
import { startSentinel } from './redis-sentinel.js'

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

test('Sentinel: a requested failover gives another master that has the data', async () => {
  const sentinel = await startSentinel()
  ends.push(() => sentinel.stop())
  const old = await sentinel.master()
  await old.cli('SET', 'a', '1')
  const master = await sentinel.failover()
  expect(master.port).not.toBe(old.port)
  expect(await master.cli('GET', 'a')).toBe('1')
  expect(await master.cli('SET', 'a', '2')).toBe('OK')
})

test('Sentinel: a killed master is replaced, and after a restart it is a stale master', async () => {
  const sentinel = await startSentinel({ downAfterMs: 500 })
  ends.push(() => sentinel.stop())
  const old = await sentinel.killMaster()
  const master = await sentinel.masterAfter(old)
  expect(await master.cli('SET', 'a', '1')).toBe('OK')
  await old.restart()
  expect((await old.cli('ROLE')).split('\n')[0]).toBe('master')
})

test('Cluster: a slot moves with its keys', async () => {
  const cluster = await startRedisCluster({ replicas: 0 })
  ends.push(() => cluster.stop())
  const slot = await cluster.slot('{alice}')
  const from = await cluster.owner(slot)
  for (let i = 0; i < 5; i++) await from.server.cli('SET', `{alice}:${i}`, String(i))
  const to = (await cluster.masters()).find(({ id }) => id !== from.id)
  if (to === undefined) throw new Error('the cluster has one master only')
  await cluster.moveSlot(slot, to)
  expect((await cluster.owner(slot)).id).toBe(to.id)
  expect(await to.server.cli('GET', '{alice}:3')).toBe('3')
  await expect(from.server.cli('GET', '{alice}:3')).rejects.toThrow('MOVED')
})

test('Cluster: a replica takes over on request, and when its master is killed', async () => {
  const cluster = await startRedisCluster()
  ends.push(() => cluster.stop())
  const slot = await cluster.slot('alice')
  const first = await cluster.owner(slot)
  await first.server.cli('SET', 'alice', '1')
  const second = await cluster.failover(first)
  expect(await second.server.cli('GET', 'alice')).toBe('1')
  expect((await cluster.replica(second)).id).toBe(first.id)
  await expect.poll(() => second.server.cli('INFO', 'replication')).toContain('state=online')
  await second.server.kill()
  const third = await cluster.ownerAfter(slot, second)
  expect(third.id).toBe(first.id)
  expect(await third.server.cli('GET', 'alice')).toBe('1')
})

describe('if one step of the start fails, the servers that run already are ended', () => {
  /** Where a server listens besides its port, so that the test can find it. */
  async function socketPath(): Promise<string> {
    const directory = await makeDirectory('failed')
    ends.push(() => removeDirectory(directory))
    return join(directory, 'redis.sock')
  }

  async function expectEnded(path: string): Promise<void> {
    const [error] = (await once(connect(path), 'error')) as [NodeJS.ErrnoException]
    expect(error.code).toBe('ECONNREFUSED') // the file of its socket remains
  }

  test('Cluster', async () => {
    const unixsocket = await socketPath()
    const config = { unixsocket, 'cluster-enabled': 'no' }
    const cluster = startRedisCluster({ masters: 1, replicas: 0, redis: { config } })
    await expect(cluster).rejects.toThrow('cluster support disabled')
    await expectEnded(unixsocket)
  })

  test('Sentinel', async () => {
    const unixsocket = await socketPath()
    const login = { password: 'two words' } // the sentinels' file does not take it
    const redis = { config: { unixsocket, requirepass: login.password }, login }
    await expect(startSentinel({ replicas: 0, redis })).rejects.toThrow('sentinel on port')
    await expectEnded(unixsocket)
  })
})
