import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Backend, Registry } from '@peerage/core'
import { Node, defaultTimes, memoryCluster, systemClock } from '@peerage/core'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import type { App, Peer } from '@peerage/protocol'
import { parseApp, parsePeer } from '@peerage/protocol'
import { AppBudgets } from '../apps/budgets.js'
import type { ConfigInput } from '../config/schema.js'
import type { AccessRefusal } from '../gateway/shared/events.js'
import { Addresses } from '../gateway/shared/address.js'
import { PeerJsGateway } from '../gateway/peerjs/gateway.js'
import type { PeerJsGatewayOptions } from '../gateway/peerjs/options.js'
import { Limits } from '../gateway/shared/limits.js'
import { PeerJsPeer } from '@peerage/test-support/peerjs.js'
import { appsOf } from './apps.js'
import { unlimited, type TestLimits } from './unlimited.js'

const closers: (() => Promise<void> | void)[] = []

/** Ends everything that the fixtures of a test have opened. */
export async function closeFixtures(): Promise<void> {
  for (const close of closers.splice(0).toReversed()) await close()
}

export function appOf(text: string): App {
  const app = parseApp(text)
  if (!app.ok) throw new Error(app.problem)
  return app.value
}

export function peerOf(text: string): Peer {
  const peer = parsePeer(text)
  if (!peer.ok) throw new Error(peer.problem)
  return peer.value
}

export interface Fixture {
  url: string
  server: Server
  node: Node
  gateway: PeerJsGateway
  clock: FakeClock
  seen: string[]
  logs: { event: string; details: Record<string, unknown> }[]
  refused: AccessRefusal[]
  join(id: string, token?: string): Promise<PeerJsPeer>
}

export interface FixtureOptions extends Partial<PeerJsGatewayOptions> {
  limitValues?: TestLimits
  wrap?: (backend: Backend) => Backend
  cluster?: ReturnType<typeof memoryCluster>
  /** The settings of apps, access and keys. */
  settings?: ConfigInput
  /** The clock of the test, which its `cluster` uses too. */
  time?: FakeClock
}

/** Starts a node with only the PeerJS wire. Its clock stands still until a test advances it. */
export async function startFixture(more: FixtureOptions = {}): Promise<Fixture> {
  const { limitValues = unlimited, wrap = (backend: Backend) => backend, settings = {}, ...options } = more
  const { connection, name } = limitValues
  const apps =
    more.apps ?? appsOf({ ...settings, limits: { connection, name, ...settings.limits } }, more.time)
  const clock = more.time ?? new FakeClock()
  const cluster = more.cluster ?? memoryCluster({ clock })
  const seen: string[] = []
  const logs: Fixture['logs'] = []
  const refused: AccessRefusal[] = []
  const onError = (error: unknown, { stage }: { stage: string }): void => {
    seen.push(`error ${stage} ${String(error)}`)
  }
  const node = new Node({
    backend: wrap(cluster.backend({ onError })),
    times: defaultTimes,
    clock,
    claimMs: 10_000,
    mailboxMs: 5_000,
    onError,
    onEvent: () => {},
  })
  node.indexing.setIndexed((app) => apps.of(app)?.indexed === true)
  await node.start()
  const metrics: PeerJsGatewayOptions['metrics'] = {
    connected: () => {},
    registered: (_, result) => seen.push(`registered ${result}`),
    routed: (_, kind, result) => seen.push(`${kind} ${result}`),
    rejected: (_, reason) => seen.push(`rejected ${reason}`),
    closed: (_, reason) => seen.push(`closed ${reason}`),
    appRouted: (label, isOk) => seen.push(`app ${label} ${isOk}`),
    appRefused: (label, reason) => seen.push(`app ${label} ${reason}`),
    handshake: () => {},
  }
  const gateway = new PeerJsGateway({
    node,
    clock,
    apps,
    budgets: new AppBudgets(apps, clock, metrics),
    addresses: new Addresses([]),
    limits: new Limits(limitValues, clock),
    metrics,
    log: (event, details) => logs.push({ event, details }),
    onRefused: (refusal) => refused.push(refusal),
    root: '/',
    path: '/',
    concurrentLimit: 5_000,
    aliveMs: 90_000,
    cors: [],
    frameBytes: 65_536,
    bufferedBytes: 262_144,
    pingIntervalMs: 10_000,
    pingTimeoutMs: 5_000,
    onError,
    ...options,
  })
  gateway.start()
  const server = createServer((request, response) => {
    if (gateway.handleRequest(request, response)) return
    response.statusCode = 404
    response.end('the application')
  })
  server.on('upgrade', (request, socket, head) => {
    gateway.handleUpgrade(request, socket, head)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  closers.push(async () => {
    gateway.stop()
    await node.stop()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const join = async (id: string, token?: string): Promise<PeerJsPeer> => {
    const peer = await PeerJsPeer.open(token === undefined ? { url, id } : { url, id, token })
    closers.push(() => peer.cut())
    return peer
  }
  return { url, server, node, gateway, clock, seen, logs, refused, join }
}

/** The same registry, with some methods replaced. */
export function registryWith(registry: Registry, others: Partial<Registry>): Registry {
  return {
    claim: (peer, owner, options) => registry.claim(peer, owner, options),
    renew: (leases) => registry.renew(leases),
    reassert: (leases, former) => registry.reassert(leases, former),
    suspend: (lease, ms) => registry.suspend(lease, ms),
    release: (lease) => registry.release(lease),
    lookup: (peer) => registry.lookup(peer),
    graceEndsIn: (peer) => registry.graceEndsIn(peer),
    ...others,
  }
}

/** Waits until a condition holds that no peer can see, because it depends on what happens between sockets. */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  const deadline = systemClock.monotonic() + 5_000
  while (!holds()) {
    if (systemClock.monotonic() > deadline) throw new Error(`not ${what} in time`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** Advances the clock through the retries of a claim until the peer gets ID-TAKEN. */
export async function takenAnswer(fixture: Fixture, peer: PeerJsPeer): Promise<void> {
  while (!peer.frames.some((frame) => frame.includes('ID-TAKEN'))) {
    await fixture.clock.advance(50)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
