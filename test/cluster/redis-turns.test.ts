import { must, claimed, newPeer, patient } from '@peerage/test-support/testing/core.js'
import type { ContractCluster, ContractNode } from '@peerage/test-support/testing/core.js'
import { parseApp, parseRoom, roomIdOf } from '@peerage/protocol'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Deployment } from '@peerage/test-support/redis-topologies.js'
import { startTopology } from '@peerage/test-support/redis-topologies.js'
import { redisContractCluster } from './redis-store.js'

let redis: Deployment
let cluster: ContractCluster
let node: ContractNode

beforeAll(async () => {
  redis = await startTopology('standalone')
  cluster = await redisContractCluster(redis, patient)
  node = await cluster.join()
})
afterAll(async () => {
  await cluster.stop()
  await redis.stop()
})

/** Reads a number from INFO. */
async function infoNumber(section: string, pattern: RegExp): Promise<number> {
  return Number(pattern.exec(await redis.at('', 'INFO', section))?.[1] ?? 0)
}

test('[CALL9] the lookups of one turn are one command, and each gets its own answer', async () => {
  const { registry } = node.backend
  const lease = await claimed(node, newPeer())
  const commands = (name: string): Promise<number> =>
    infoNumber('commandstats', new RegExp(`cmdstat_${name}:calls=(\\d+)`, 'u'))
  const before = await commands('mget')
  const peers = Array.from({ length: 64 }, (_, i) => (i === 10 ? lease.peer : newPeer()))
  const found = await Promise.all(peers.map((peer) => registry.lookup(peer)))
  expect(found.map((one) => one?.epoch)).toEqual(peers.map((_, i) => (i === 10 ? lease.epoch : undefined)))
  expect(found[10]).toEqual(lease)
  expect(await commands('mget')).toBe(before + 1)
  await Promise.all(Array.from({ length: 1_001 }, () => registry.lookup(newPeer())))
  expect(await commands('mget')).toBe(before + 1 + 3)
})

test('[CALL9] all messages that are published in one turn are one write, in order', async () => {
  const { rooms } = node.backend
  const room = roomIdOf(must(parseApp('default')), must(parseRoom('hall')))
  const heard: string[] = []
  await rooms.subscribe(room, (text) => void heard.push(text))
  const reads = (): Promise<number> => infoNumber('stats', /total_reads_processed:(\d+)/u)
  const before = await reads()
  const texts = Array.from({ length: 200 }, (_, i) => `text ${i}`)
  const sent = await Promise.all(texts.map((text) => rooms.publish(room, text)))
  expect(new Set(sent)).toEqual(new Set(['sent']))
  // Redis reads this INFO, perhaps a beat, and our single write, possibly in several pieces.
  expect((await reads()) - before).toBeLessThan(20)
  await expect.poll(() => heard).toEqual(texts)
})

test('[KEY3] a command that the user may not run is named in the log, but not each time', async () => {
  await redis.at('', 'ACL', 'SETUSER', 'old', 'on', '>old', '~*', '&*', '+@all', '-mget')
  const errors: string[] = []
  const weak = await redisContractCluster(redis, patient, {
    url: redis.url.replace('redis://', 'redis://old:old@'),
    onError: (error, { stage }) => errors.push(`${stage}: ${String(error)}`),
  })
  try {
    const { registry } = (await weak.join()).backend
    for (let i = 0; i < 3; i++)
      await expect(registry.lookup(newPeer())).rejects.toThrow(/no permissions to run the 'mget' command/u)
    expect(errors).toEqual([expect.stringMatching(/^permission: .*'mget'/u)])
  } finally {
    await weak.stop()
  }
})
