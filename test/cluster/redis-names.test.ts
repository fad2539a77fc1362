import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Lease } from '@peerage/core'
import { claimed, newPeer, newSecretHash, ownerAt, peer as peerOf } from '@peerage/core/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RedisServer } from '../support/redis.js'
import { startRedis } from '../support/redis.js'
import type { RigNode } from './redis-rig.js'
import { eventually, startRigNode } from './redis-rig.js'

let server: RedisServer
let nodes: RigNode[]
beforeAll(async () => {
  server = await startRedis()
  nodes = await Promise.all([1, 2, 3].map(() => startRigNode(server.url)))
})
afterAll(async () => {
  for (const node of nodes) await node.stop()
  await server.stop()
})

const at = (i: number): RigNode => {
  const node = nodes[i % nodes.length]
  if (!node) throw new Error('no nodes')
  return node
}

test('[I1] [F21] the same name claimed on two nodes, 1,000 times: one winner each', async () => {
  for (let round = 0; round < 1_000; round++) {
    const peer = newPeer()
    const results = await Promise.all(
      [0, 1].map((i) =>
        at(round + i).backend.registry.claim(peer, ownerAt(at(round + i)), {
          secretHash: newSecretHash(),
          policy: 'refuse',
        }),
      ),
    )
    const won = results.filter((result) => result.ok)
    expect(won).toHaveLength(1)
    for (const result of results) if (!result.ok) expect(result.holder).toEqual(won[0]?.lease)
  }
})

test('[I16] 10,000 claims that end, by release, by grace or by reclaim, leave no key', async () => {
  await server.cli('FLUSHALL')
  await eventually(
    'the nodes are back',
    async () => Number(await server.cli('ZCARD', 'pg:nodes')) === nodes.length,
  )
  for (let batch = 0; batch < 20; batch++) {
    await Promise.all(
      Array.from({ length: 500 }, async (_, i) => {
        const node = at(i)
        const first = await claimed(node, newPeer())
        if (i % 3 === 0) return node.backend.registry.release(first)
        if (i % 3 === 1) return node.backend.registry.suspend(first, 50)
        const second = await claimed(at(i + 1), first.peer, { secretHash: first.secretHash })
        await node.backend.registry.release(first)
        return at(i + 1).backend.registry.release(second)
      }),
    )
  }
  // Redis counts keys that have expired until it comes across them, ten times a second.
  await eventually('only the nodes are left', async () => Number(await server.cli('DBSIZE')) === 1)
  expect(await server.cli('KEYS', '*')).toBe('pg:nodes')
})

test('[KEY4] a name takes at most 230 bytes of Redis’s memory', async () => {
  const names = Array.from({ length: 32_000 }, () => peerOf(`peerage/${randomUUID()}`))
  const used = async (): Promise<number> =>
    Number(/^used_memory:(\d+)/mu.exec(await server.cli('INFO', 'memory'))?.[1])
  const before = await used()
  const leases: Lease[] = []
  while (leases.length < names.length) {
    const batch = names.slice(leases.length, leases.length + 1_000)
    leases.push(...(await Promise.all(batch.map((name, i) => claimed(at(i), name)))))
  }
  const key = `pg:{${names[0]}}:lease`
  expect((await server.cli('GET', key)).length).toBeLessThanOrEqual(44)
  expect(Number(await server.cli('MEMORY', 'USAGE', key))).toBeLessThanOrEqual(230)
  await delay(200) // what the clients' buffers held is given back
  const each = ((await used()) - before) / names.length
  console.log(
    `Redis memory: ${each.toFixed(0)} bytes a name, ${await server.cli('MEMORY', 'USAGE', key)} by MEMORY USAGE`,
  )
  expect(each).toBeLessThanOrEqual(230)
  expect(leases[0]?.node).toHaveLength(8)
})
