import { defaultTimes } from '@peerage/core'
import { claimed, newPeer } from '@peerage/test-support/testing/core.js'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  startRedisCluster,
  type ClusterNode,
  type RedisCluster,
} from '@peerage/test-support/redis-cluster.js'
import { startTcpProxy, type TcpProxy } from '@peerage/test-support/tcp-proxy.js'
import { startMeddler, type Meddler } from './meddler.js'
import type { RigNode, RigOptions } from './redis-rig.js'
import { becomeHealthy, doubts, eventually, isHealthy, reaches, settle, startRigNode } from './redis-rig.js'

/** The proxies in front of one master. All clients use them, because the master announces their port. */
interface Link {
  meddler: Meddler
  proxy: TcpProxy
}

let cluster: RedisCluster
const links = new Map<ClusterNode['id'], Link>()
let url: string
const rigs: RigNode[] = []

beforeAll(async () => {
  cluster = await startRedisCluster({ replicas: 0 })
  for (const { id, server } of cluster.nodes) {
    const meddler = await startMeddler(server.port)
    const proxy = await startTcpProxy({
      target: { host: '127.0.0.1', port: Number(new URL(meddler.url).port) },
    })
    links.set(id, { meddler, proxy })
    await server.cli('CONFIG', 'SET', 'cluster-announce-port', String(proxy.port))
  }
  const ports = [...links.values()].map(({ proxy }) => proxy.port)
  url = `redis+cluster://${ports.map((port) => `127.0.0.1:${port}`).join(',')}`
  await eventually('all masters announce their proxies', async () => {
    const replies = await Promise.all(cluster.nodes.map(({ server }) => server.cli('CLUSTER', 'SLOTS')))
    return replies.every((slots) => ports.every((port) => slots.includes(String(port))))
  })
})
afterAll(async () => {
  for (const { meddler, proxy } of links.values()) {
    await proxy.stop()
    await meddler.stop()
  }
  await cluster.stop()
})
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.stop()
})

async function pair(options: RigOptions = {}): Promise<[RigNode, RigNode]> {
  const [a, b] = [await startRigNode(url, options), await startRigNode(url, options)]
  rigs.push(a, b)
  await settle(a, b)
  return [a, b]
}

/** The proxies in front of the master that serves this channel. */
async function linkOf(channel: string): Promise<Link> {
  const { id } = await cluster.owner(await cluster.slot(channel))
  const link = links.get(id)
  if (!link) throw new Error(`${channel} is on no master of this cluster`)
  return link
}

const SMESSAGE = />3\r\n\$8\r\nsmessage\r\n\$\d+\r\n\S+\r\n\$\d+\r\n[^\r]*\r\n/gu
const SUNSUBSCRIBED = />3\r\n\$12\r\nsunsubscribe\r\n\$\d+\r\n\S+\r\n:\d+\r\n/gu
/** Added to each limit, for a busy machine. */
const BUSY_MS = 2_000

describe('one shard of a Cluster', () => {
  test('[EAR3] [F11] a connection that swallows all data is noticed within 3 s and works again when the fault ends', async () => {
    const [a, b] = await pair()
    const { proxy } = await linkOf(`pg:inbox:${a.node}`)
    for (const direction of ['both', 'up', 'down'] as const) {
      proxy.drop(direction)
      expect(await eventually('the cut is noticed', () => !isHealthy(a))).toBeLessThan(3_000 + BUSY_MS)
      proxy.heal()
      await becomeHealthy(a, b)
      await eventually('the bus works again', () => reaches(b, a))
    }
  })

  test('[EAR5] [F9] a message that arrives twice, as from both masters of a failover, is handled once', async () => {
    const [a, b] = await pair()
    const { meddler } = await linkOf(`pg:inbox:${b.node}`)
    let doubled = 0
    meddler.rewrite((text) =>
      text.replace(SMESSAGE, (message) => {
        doubled++
        return message + message
      }),
    )
    for (let i = 0; i < 5; i++) expect(await reaches(a, b)).toBe(true)
    expect(doubled).toBeGreaterThanOrEqual(5)
    // This envelope arrives after the last copy.
    meddler.rewrite((text) => text)
    expect(await reaches(a, b)).toBe(true)
    const epochs = b.received.flatMap((envelope) => (envelope.type === 'superseded' ? [envelope.epoch] : []))
    expect(epochs).toEqual([...new Set(epochs)])
  })

  test('[EAR2] [F14] the canary finds a silently lost subscription within four beats', async () => {
    const beatMs = 500
    const [node, other] = await pair({ times: { ...defaultTimes, beatMs } })
    const inbox = `pg:inbox:${node.node}`
    const { meddler } = await linkOf(inbox)
    // Redis drops the subscription without notice. The connections stay open and answer every ping.
    meddler.rewrite((text) => text.replace(SUNSUBSCRIBED, ''))
    expect(meddler.say('peerage-subscriber', 'SUNSUBSCRIBE', inbox)).toBe(2)
    await eventually('the subscription is lost', async () => !(await reaches(other, node)))
    expect(isHealthy(node)).toBe(true)
    expect(await eventually('the canary is missed', () => !isHealthy(node))).toBeLessThan(
      4 * beatMs + BUSY_MS,
    )
    await becomeHealthy(node)
    expect(doubts(node)).not.toEqual([])
    expect(node.errors.map((error) => error.stage)).toContain('canary')
    await eventually('the bus works again', () => reaches(other, node))
    expect(isHealthy(other)).toBe(true)
    meddler.rewrite((text) => text)
  })

  test('[F14] a subscription that Redis cancels is requested again at once', async () => {
    const [node, other] = await pair({ times: { ...defaultTimes, beatMs: 1_000 } })
    const inbox = `pg:inbox:${node.node}`
    const { meddler } = await linkOf(inbox)
    meddler.say('peerage-subscriber', 'SUNSUBSCRIBE', inbox)
    await eventually('the doubt is reported', () => doubts(node).length > 0)
    expect(await eventually('the bus works again', () => reaches(other, node))).toBeLessThan(2_000 + BUSY_MS)
    expect(node.errors).toEqual([])
  })

  test('[F14] presence subscriptions that are lost together with the inbox come back with it', async () => {
    const [node, other] = await pair()
    const peer = newPeer()
    const changes: string[] = []
    node.backend.presence.onChange((change) => changes.push(change.state))
    await node.backend.presence.watch(peer)
    const { meddler } = await linkOf(`pg:{${peer}}:presence`)
    meddler.rewrite((text) => text.replace(SUNSUBSCRIBED, ''))
    meddler.say('peerage-subscriber', 'SUNSUBSCRIBE')
    await eventually('the loss is found', () => doubts(node).length > 0)
    await becomeHealthy(node)
    await claimed(other, peer)
    await eventually('presence changes arrive again', () => changes.length > 0)
    expect(changes).toEqual(['online'])
    meddler.rewrite((text) => text)
  })
})
