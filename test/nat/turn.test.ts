import { decodeNodeMessage, type NodeMessageOf, type TurnCredentials } from '@peerage/protocol'
import { io, type Socket } from 'socket.io-client'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startCoturn, type Coturn } from '@peerage/test-support/coturn.js'
import { againWhenFrozen } from '@peerage/test-support/libdatachannel.js'
import { startNode, type Node } from '@peerage/test-support/node.js'
import { eventually, startChild } from '@peerage/test-support/process.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'
import { callBetween, startPeer, type LabPeer } from './lab-rig.js'
import { openTurnClient, type Answer } from './turn-client.js'

// TURN credentials, from the node's secret to coturn's decision.

/** A long time for a handshake on one machine. */
const HOPELESS_MS = 4_000

let redis: RedisServer
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())

async function coturnWith(...secrets: [string, ...string[]]): Promise<Coturn> {
  const coturn = await startCoturn({ secret: secrets })
  onTestFinished(() => coturn.stop())
  return coturn
}

interface TurnSettings {
  secret: string
  previousSecret?: string
  ttlMs?: number
}

async function nodeWith(coturn: Coturn, { secret, previousSecret, ttlMs }: TurnSettings): Promise<Node> {
  const ttl = ttlMs === undefined ? [] : ['--p2p-turn-ttl-ms', String(ttlMs)]
  const node = await startNode({
    redisUrl: redis.url,
    args: ['--p2p-turn-urls', coturn.turnUrl, ...ttl],
    env: {
      PEERAGE_P2P_TURN_SECRET: secret,
      ...(previousSecret === undefined ? {} : { PEERAGE_P2P_TURN_PREVIOUS_SECRET: previousSecret }),
    },
  })
  onTestFinished(() => node.stop())
  return node
}

/** A peer that shows the frames of the wire. Any socket.io client can be one. */
interface RawPeer {
  welcome: NodeMessageOf<'welcome'>
  ice: () => Promise<TurnCredentials | null>
}

async function rawPeer(node: Node, name: string, app = 'default'): Promise<RawPeer> {
  const secret = 'A'.repeat(22)
  const socket: Socket = io(node.url, {
    path: '/peerage/',
    transports: ['websocket'],
    forceNew: true,
    auth: { v: 1, secret, name, app },
  })
  onTestFinished(() => void socket.disconnect())
  const next = async <T extends 'welcome' | 'ice'>(type: T): Promise<NodeMessageOf<T>> => {
    const read = decodeNodeMessage(type, await new Promise((resolve) => socket.once<string>(type, resolve)))
    if (!read.ok || read.value.type !== type) throw new Error(`no ${type}`)
    return read.value as NodeMessageOf<T>
  }
  return {
    welcome: await next('welcome'),
    ice: async () => {
      const answer = next('ice')
      socket.emit('ice', { id: 1 })
      return (await answer).turn
    },
  }
}

async function judge(coturn: Coturn, turn: TurnCredentials | null): Promise<Answer> {
  if (turn === null) throw new Error('no credentials')
  const client = await openTurnClient(coturn.port, { username: turn.username, password: turn.credential })
  onTestFinished(() => client.close())
  return client.allocate()
}

function expiryMs(username: string): number {
  return Number(username.split(':')[0]) * 1_000
}

/** Waits until credentials have expired; coturn's clock ticks once a second. */
async function until(ms: number): Promise<void> {
  await eventually('the credentials end', () => Promise.resolve(Date.now() > ms + 1_500 || undefined), {
    deadlineMs: 60_000,
    everyMs: 50,
  })
}

let peers = 0

/** Uses a new name each time, because the name of a peer that ended stays reserved for it. */
async function relayedPeer(node: Node): Promise<LabPeer> {
  const name = `peer-${++peers}`
  const peer = await startPeer({ start: startChild }, { url: node.url, name, throughTurn: true })
  onTestFinished(() => peer.stop())
  return peer
}

/**
 * The peers use only relayed candidates, so without valid credentials they have no candidate at all. The path that they
 * select means nothing here: TURN permissions are by address, and on loopback all have the same one. The NAT lab tests paths.
 */
async function relayOnce(from: LabPeer, to: LabPeer, deadlineMs?: number): Promise<string> {
  const result = await callBetween(from, to, { deadlineMs, hangUp: true })
  return result.path === 'server' ? result.stage : 'a channel'
}

describe('TURN credentials', () => {
  test('come with the welcome and on request, for this peer and app alone, and coturn accepts them', async () => {
    const coturn = await coturnWith('north')
    const node = await nodeWith(coturn, { secret: 'north' })
    // Characters that coturn would refuse in a username if the name were part of it.
    const odd = await rawPeer(node, `o'dd "name" \\ é:/`)
    const other = await rawPeer(node, 'alice', 'shop')
    const same = await rawPeer(node, 'alice', 'game')
    for (const { welcome, ice } of [odd, other, same]) {
      expect(welcome.p2p.turn).toMatchObject({ urls: [coturn.turnUrl], ttlMs: 300_000 })
      expect(await judge(coturn, welcome.p2p.turn)).toBe('granted')
      expect(await judge(coturn, await ice())).toBe('granted')
    }
    const user = ({ welcome }: RawPeer): string => welcome.p2p.turn?.username.split(':')[1] ?? ''
    expect(new Set([odd, other, same].map(user)).size).toBe(3)
    expect(user(other)).toMatch(/^shop\//)
  })

  test('expire, and coturn then refuses them', async () => {
    const coturn = await coturnWith('north')
    const { welcome, ice } = await rawPeer(await nodeWith(coturn, { secret: 'north', ttlMs: 4_000 }), 'short')
    const { turn } = welcome.p2p
    expect(await judge(coturn, turn)).toBe('granted')
    await until(expiryMs(turn?.username ?? ''))
    expect(await judge(coturn, turn)).toBe(401)
    expect(await judge(coturn, await ice())).toBe('granted')
  })

  test('are renewed by the SDK before they expire', againWhenFrozen, async () => {
    const coturn = await coturnWith('north')
    const node = await nodeWith(coturn, { secret: 'north', ttlMs: 4_000 })
    const [alice, bob] = [await relayedPeer(node), await relayedPeer(node)]
    expect(await relayOnce(alice, bob)).toBe('a channel')
    // The credentials of a later peer expire later.
    const { turn } = (await rawPeer(node, 'late')).welcome.p2p
    await until(expiryMs(turn?.username ?? ''))
    expect(await judge(coturn, turn)).toBe(401)
    // With the credentials of their welcomes neither side would still get a relay.
    expect(await relayOnce(alice, bob)).toBe('a channel')
  })

  test(
    'of either secret are valid while one replaces the other, and only those of the new secret afterwards',
    againWhenFrozen,
    async () => {
      const rotating = await coturnWith('new', 'old')
      const before = await nodeWith(rotating, { secret: 'old' })
      const after = await nodeWith(rotating, { secret: 'new', previousSecret: 'old' })
      const [gail, hugo] = [await relayedPeer(before), await relayedPeer(after)]
      expect(await relayOnce(gail, hugo)).toBe('a channel')
      expect(await relayOnce(hugo, gail)).toBe('a channel')
      const done = await coturnWith('new')
      expect(await judge(done, (await rawPeer(after, 'carol')).welcome.p2p.turn)).toBe('granted')
      expect(await judge(done, (await rawPeer(before, 'dave')).welcome.p2p.turn)).toBe(401)
      const late = await nodeWith(done, { secret: 'old' })
      const [erin, frank] = [await relayedPeer(late), await relayedPeer(late)]
      expect(await relayOnce(erin, frank, HOPELESS_MS)).toBe('ice')
    },
  )
})
