import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Backend } from '@peerage/core'
import { Node, defaultTimes, memoryCluster } from '@peerage/core'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { WirePeer, type WirePeerOptions } from '@peerage/test-support/wire-peer.js'
import { AppBudgets } from '../apps/budgets.js'
import type { ConfigInput } from '../config/schema.js'
import type { HttpGateway } from '../gateway/http-gateway.js'
import { Addresses } from '../gateway/shared/address.js'
import type { AccessRefusal } from '../gateway/shared/events.js'
import type { GatewayOptions } from '../gateway/shared/gateway.js'
import { Limits } from '../gateway/shared/limits.js'
import { appsOf } from './apps.js'
import { unlimited, type TestLimits } from './unlimited.js'

const closers: (() => Promise<void> | void)[] = []

/** Ends everything that the fixtures of a test have opened. */
export async function closeWires(): Promise<void> {
  for (const close of closers.splice(0).toReversed()) await close()
}

/** Runs when the fixtures of the test end. */
export function atEnd(close: () => Promise<void> | void): void {
  closers.push(close)
}

export interface WireFixture<G> {
  /** `http://127.0.0.1:port`. */
  url: string
  server: Server
  node: Node
  gateway: G
  clock: FakeClock
  /** What the gateway counted, such as `rejected malformed`, and errors. */
  seen: string[]
  logs: { event: string; details: Record<string, unknown> }[]
  refused: AccessRefusal[]
  budgets: AppBudgets
  /** Opens a WebSocket at the path. */
  connect: (path: string, options?: WirePeerOptions) => WirePeer
}

export interface WireFixtureOptions extends Partial<GatewayOptions> {
  limitValues?: TestLimits
  wrap?: (backend: Backend) => Backend
  cluster?: ReturnType<typeof memoryCluster>
  /** The settings of apps, access and keys. */
  settings?: ConfigInput
  /** The clock of the test, which its `cluster` uses too. */
  time?: FakeClock
}

/** Frames and pings of a gateway under test. */
export const sockets = {
  frameBytes: 65_536,
  bufferedBytes: 262_144,
  pingIntervalMs: 10_000,
  pingTimeoutMs: 5_000,
}

/**
 * Starts a node with one gateway. Its clock stands still until a test advances it.
 *
 * @example
 * ```ts
 * const { connect } = await startWire((options) => new TopicGateway({ ...options, ...sockets, base: '/' }, trystero))
 * const peer = connect('/trystero/chess')
 * await peer.opened()
 * ```
 */
export async function startWire<G extends HttpGateway>(
  create: (options: GatewayOptions) => G,
  more: WireFixtureOptions = {},
): Promise<WireFixture<G>> {
  const {
    limitValues = unlimited,
    wrap = (backend: Backend) => backend,
    settings = {},
    time: clock = new FakeClock(),
    cluster = memoryCluster({ clock }),
    ...options
  } = more
  const { connection, name } = limitValues
  const apps =
    more.apps ?? appsOf({ ...settings, limits: { connection, name, ...settings.limits } }, more.time)
  const seen: string[] = []
  const logs: WireFixture<G>['logs'] = []
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
  const metrics = seenMetrics(seen)
  const budgets = new AppBudgets(apps, clock, metrics)
  const gateway = create({
    node,
    clock,
    apps,
    budgets,
    addresses: new Addresses([]),
    limits: new Limits(limitValues, clock),
    metrics,
    log: (event, details) => logs.push({ event, details }),
    onRefused: (refusal) => refused.push(refusal),
    onError,
    ...options,
  })
  await gateway.start()
  const { server, url } = await serve(gateway)
  closers.push(async () => {
    await gateway.stop()
    await node.stop()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const connect = (path: string, how?: WirePeerOptions): WirePeer => {
    const peer = new WirePeer(url.replace(/^http/, 'ws') + path, how)
    closers.push(() => peer.cut())
    return peer
  }
  return { url, server, node, gateway, clock, seen, logs, refused, budgets, connect }
}

function seenMetrics(seen: string[]): GatewayOptions['metrics'] {
  return {
    connected: () => {},
    registered: (_, result) => seen.push(`registered ${result}`),
    routed: (_, kind, result) => seen.push(`${kind} ${result}`),
    rejected: (_, reason) => seen.push(`rejected ${reason}`),
    closed: (_, reason) => seen.push(`closed ${reason}`),
    appRouted: (label, isOk) => seen.push(`app ${label} ${isOk}`),
    appRefused: (label, reason) => seen.push(`app ${label} ${reason}`),
    handshake: () => {},
  }
}

async function serve(gateway: HttpGateway): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => {
    if (gateway.handleRequest?.(request, response) === true) return
    response.statusCode = 404
    response.end('the application')
  })
  server.on('upgrade', (request, socket, head) => {
    if (gateway.handleUpgrade(request, socket, head)) return
    if (server.listenerCount('upgrade') === 1) socket.destroy()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}
