import { Node, defaultTimes, memoryCluster } from '@peerage/core'
import { parsePeer, type Peer } from '@peerage/protocol'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { RecordedConnection, comeIn, peerNamed } from '@peerage/test-support/testing/core.js'
import { pino } from 'pino'
import { afterEach, expect, test } from 'vitest'
import { configSchema, type ConfigInput } from './config/schema.js'
import { Reloads } from './reload.js'
import { appsOf } from './testing/apps.js'

const closers: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function running(input: ConfigInput) {
  const clock = new FakeClock()
  const node = new Node({
    backend: memoryCluster({ clock }).backend({ onError: () => {} }),
    times: defaultTimes,
    clock,
    claimMs: 10_000,
    mailboxMs: 5_000,
    onError: () => {},
    onEvent: () => {},
  })
  await node.start()
  const lines: Record<string, unknown>[] = []
  const results: string[] = []
  const reloads = new Reloads({
    config: configSchema.parse(input),
    apps: appsOf(input),
    node,
    clock,
    metrics: { reloaded: (result) => results.push(result) },
    log: pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) }),
  })
  closers.push(
    () => node.stop(),
    () => reloads.stop(),
  )
  const join = async (text: string, secret = 's'): Promise<RecordedConnection> => {
    const connection = new RecordedConnection(node.sessions.newId())
    node.open(connection)
    await node.claim(connection, { peer: peerOf(text), secret, policy: 'refuse' })
    return connection
  }
  return {
    node,
    clock,
    lines,
    results,
    reloads,
    join,
    take: (next: ConfigInput) => reloads.take(configSchema.parse(next)),
  }
}

function peerOf(text: string): Peer {
  const peer = parsePeer(text)
  if (!peer.ok) throw new Error(peer.problem)
  return peer.value
}

const closedOf = (connections: readonly RecordedConnection[]): number =>
  connections.filter(({ closed }) => closed === 'refused').length

test('the peers of an app that is no longer served are closed one after the other, and no others', async () => {
  const { node, clock, take, join } = await running({ apps: { default: {}, old: {} } })
  const stays = await join('default/ann')
  const old = await Promise.all(Array.from({ length: 100 }, (_, index) => join(`old/${index}`)))
  take({ apps: { default: {} } })
  expect(closedOf(old)).toBe(5)
  await clock.advance(2_500)
  expect(closedOf(old)).toBeGreaterThan(40)
  expect(closedOf(old)).toBeLessThan(60)
  await clock.advance(2_500)
  expect(closedOf(old)).toBe(100)
  expect(stays.closed).toBeUndefined()
  await Promise.all(old.map(({ id }) => node.end(id, 'dropped')))
  expect(node.leases.count).toBe(1)
  expect((await node.lookup([peerNamed('7', 'old')]))[0]?.state).toBe('away')
})

test('peers without names of an app that is no longer served are closed, too', async () => {
  const { node, take } = await running({ apps: { default: {}, old: {} } })
  const [stays, old] = [comeIn(node), comeIn(node, { app: 'old' })]
  take({ apps: { default: {} } })
  expect([stays.connection.closed, old.connection.closed]).toEqual([undefined, 'refused'])
})

test('the names of an app that is no longer served are free after the grace, as those of any ended connection', async () => {
  const former = { apps: { default: {}, old: {} } }
  const { clock, node, take, join } = await running(former)
  const old = await join('old/ann')
  take({ apps: { default: {} } })
  expect(old.closed).toBe('refused')
  await node.end(old.id, 'dropped')
  const ann = node.lookup([peerOf('old/ann')])
  expect(await ann).toMatchObject([{ state: 'away' }])
  await clock.advance(defaultTimes.graceMs + 1_000)
  expect(await node.lookup([peerOf('old/ann')])).toMatchObject([{ state: 'offline' }])
  take(former)
  expect((await join('old/ann', 'another')).closed).toBeUndefined()
  expect(node.sessions.online(peerOf('old/ann'))).toBeDefined()
})

test('an app that comes back in time keeps its remaining peers', async () => {
  const former = { apps: { default: {}, old: {} } }
  const { clock, take, join } = await running(former)
  const old = await Promise.all(Array.from({ length: 100 }, (_, index) => join(`old/${index}`)))
  take({ apps: { default: {} } })
  take(former)
  await clock.advance(20_000)
  expect(closedOf(old)).toBe(5)
})

test('the log names what has changed and what needs a restart, without a value, each time', async () => {
  const { take, lines, results } = await running({})
  const next: ConfigInput = {
    port: 1,
    redis: { password: 'geheim' },
    access: { key: 'geheim-geheim-geheim' },
    peerjs: { key: 'geheim', path: '/p' },
    limits: { connection: { lookupsPerSecond: 1 }, address: { connections: 1 } },
    apps: { default: { api: { keys: ['geheim-geheim-geheim-geheim'] } } },
  }
  take(next)
  take(next)
  const restart = ['port', 'redis.password', 'limits.address.connections', 'peerjs.path']
  expect(lines.map(({ msg, changed, settings }) => [msg, changed ?? settings])).toEqual([
    ['reloaded', ['access.key', 'limits.connection.lookupsPerSecond', 'peerjs.key', 'apps.default']],
    ['these settings have changed and need a restart', restart],
    ['reloaded', []],
    ['these settings have changed and need a restart', restart],
  ])
  expect(JSON.stringify(lines)).not.toContain('geheim')
  expect(results).toEqual(['ok', 'ok'])
})

const KEY = 'a-key-of-this-app-0123'

test('a file that would open an app, as an empty or half written one does, is not taken unless it says so', async () => {
  const former: ConfigInput = { defaultApp: 'chat', apps: { chat: { access: { key: KEY } } } }
  const { take, results } = await running(former)
  expect(() => take({})).toThrow('chat had an access rule, and now has none: is the file whole?')
  expect(() => take({ defaultApp: 'chat', apps: { chat: {} } })).toThrow('write access: { mode: open }')
  expect(() => take({ defaultApp: 'other', apps: { other: {}, chat: {} } })).toThrow('chat had')
  expect(results).toEqual([])
  take({ defaultApp: 'chat', apps: { chat: { access: { mode: 'open' } } } })
  take(former)
  take({ defaultApp: 'other', apps: { other: {} } })
  expect(results).toEqual(['ok', 'ok', 'ok'])
})
