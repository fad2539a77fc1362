import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  Node,
  defaultTimes,
  memoryCluster,
  systemClock,
  type Ending,
  type ServerMessage,
} from '@peerage/core'
import { parsePeer } from '@peerage/protocol'
import { afterEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { attachTo } from '../../http/attach.js'
import { unservedAt } from '../../http/unserved.js'
import { unlimited } from '../../testing/unlimited.js'
import { AppBudgets } from '../../apps/budgets.js'
import { appsOf } from '../../testing/apps.js'
import { Addresses } from './address.js'
import { WebSocketConnection } from './connection.js'
import { WebSocketGateway, type Arrival, type GatewayOptions } from './gateway.js'
import { Limits } from './limits.js'

// The smallest gateway, for authors of a new wire: docs/architecture.md, "Where to add something". A peer's name is the
// query of its URL (`/echo?bob`), and each text frame that it sends comes back to it.

/** One peer's connection: what its frames mean, and how it is told something. */
class EchoConnection extends WebSocketConnection {
  /** A new wire has its own word here: see `Wire` in core. */
  get wire(): 'native' {
    return 'native'
  }

  /** One whole text frame of the peer. A wire for messages would call `node.router.route` here. */
  protected take(text: string): void {
    this.write(text)
  }

  /** False: the peer is gone or too slow. This wire tells a peer nothing. */
  send(_message: ServerMessage): boolean {
    return this.isOpen
  }
}

/** The wire: where its WebSockets arrive, and which name each claims. */
class EchoGateway extends WebSocketGateway<EchoConnection> {
  readonly #options: GatewayOptions

  constructor(options: GatewayOptions) {
    super(options, {
      wire: 'native',
      endpoint: { path: '/echo', setting: 'path' },
      frameBytes: 65_536,
      bufferedBytes: 1_048_576,
      pingIntervalMs: 10_000,
      pingTimeoutMs: 5_000,
    })
    this.#options = options
  }

  protected connectionOf({ id, socket, stream, address }: Arrival): EchoConnection {
    return new EchoConnection(id, socket, stream, address, this)
  }

  protected opened(connection: EchoConnection, { request }: Arrival): void {
    const peer = parsePeer(`default/${request.url?.split('?')[1] ?? ''}`)
    if (!peer.ok) return connection.close('protocol')
    const { node, onError } = this.#options
    node.claim(connection, { peer: peer.value, secret: 'of this peer alone', policy: 'refuse' }).then(
      (claimed) => {
        if (claimed.ok) connection.named(peer.value)
        else connection.close('rate-limited')
      },
      (error: unknown) => onError(error, { stage: 'claim' }),
    )
  }

  /** After a cut the name waits for its holder; a peer that closes gives it back. */
  protected endingOf(_connection: WebSocketConnection, wasCut: boolean): Ending {
    return wasCut ? 'dropped' : 'left'
  }
}

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

async function startEcho(): Promise<{ node: Node; gateway: EchoGateway; url: string }> {
  const clock = systemClock
  const onError = (error: unknown): void => {
    throw error
  }
  const backend = memoryCluster({ clock }).backend({ onError })
  const node = new Node({
    backend,
    times: defaultTimes,
    clock,
    claimMs: 10_000,
    mailboxMs: 5_000,
    onError,
    onEvent: () => {},
  })
  await node.start()
  const nothing = (): void => {}
  const metrics = {
    connected: nothing,
    registered: nothing,
    routed: nothing,
    rejected: nothing,
    closed: nothing,
    appRouted: nothing,
    appRefused: nothing,
    handshake: nothing,
  }
  const apps = appsOf()
  const gateway = new EchoGateway({
    node,
    clock,
    apps,
    budgets: new AppBudgets(apps, clock, metrics),
    addresses: new Addresses([]),
    limits: new Limits(unlimited, clock),
    metrics,
    log: nothing,
    onRefused: () => {},
    onError,
  })
  gateway.start()
  const server = createServer()
  const detach = attachTo(server, {
    gateways: [gateway],
    owner: { hasEnded: () => false },
    unserved: (path) => unservedAt(path, [gateway.endpoint.path], []),
    clock,
    metrics,
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(
    () => new Promise((resolve) => server.close(resolve)),
    detach,
    () => gateway.stop(),
    () => node.stop(),
  )
  const { port } = server.address() as AddressInfo
  return { node, gateway, url: `ws://127.0.0.1:${port}/echo` }
}

test('a gateway of two small classes takes peers, names them, and answers', async () => {
  const { node, gateway, url } = await startEcho()
  const socket = new WebSocket(`${url}?bob`)
  await once(socket, 'open')
  socket.send('hello')
  const [answer] = await once(socket, 'message')
  expect(String(answer)).toBe('hello')
  const bob = parsePeer('default/bob')
  if (!bob.ok) throw new Error(bob.problem)
  expect((await node.lookup([bob.value]))[0]?.state).toBe('online')
  expect(gateway.connections).toBe(1)
})

test('the base classes drain it', async () => {
  const { gateway, url } = await startEcho()
  const socket = new WebSocket(`${url}?bob`)
  await once(socket, 'open')
  const closed = once(socket, 'close')
  await gateway.drain(100)
  expect((await closed)[0]).toBe(4000)
})

test('a drain ends when its sockets have ended, and waits no longer than its time', async () => {
  const { gateway, url } = await startEcho()
  const [quick, silent] = [new WebSocket(`${url}?bob`), new WebSocket(`${url}?ann`)]
  await Promise.all([once(quick, 'open'), once(silent, 'open')])
  // It does not answer the close frame.
  silent.pause()
  await gateway.drain(200)
  expect(gateway.connections).toBe(1)
  silent.terminate()
  await gateway.drain(60_000)
  expect(gateway.connections).toBe(0)
})
