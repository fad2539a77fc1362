import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Config, ConfigInput } from '@peerage/server'
import { configSchema, createLogger, PeerageServer } from '@peerage/test-support/testing/server.js'
import { parsePeer } from '@peerage/protocol'
import { PeerServer, type IConfig } from 'peer'
import { Writable } from 'node:stream'

/** One of the compared servers: its URL, and a look at state that no peer can see. */
export interface Side {
  readonly name: 'peer' | 'peerage'
  readonly url: string
  /** Whether an open socket holds this id. */
  holds(id: string): boolean
  stop(): Promise<void>
}

export interface SideOptions {
  path?: string
  key?: string
  concurrentLimit?: number
  allowDiscovery?: boolean
  expireMs?: number
  cors?: string[]
}

/** Starts the unmodified `peer@1.0.2` from npm. */
export async function startReference(options: SideOptions = {}): Promise<Side> {
  const config: Partial<IConfig> = {
    port: 0,
    host: '127.0.0.1',
    path: options.path ?? '/',
    key: options.key ?? 'peerjs',
    concurrent_limit: options.concurrentLimit ?? 5_000,
    allow_discovery: options.allowDiscovery ?? false,
    expire_timeout: options.expireMs ?? 60_000,
    cleanup_out_msgs: 100,
    ...(options.cors === undefined ? {} : { corsOptions: { origin: options.cors } }),
  }
  const ids = new Set<string>()
  const server = await new Promise<Parameters<NonNullable<Parameters<typeof PeerServer>[1]>>[0]>(
    (resolve) => {
      const app = PeerServer(config, resolve)
      app.on('connection', (client) => ids.add(client.getId()))
      app.on('disconnect', (client) => ids.delete(client.getId()))
      // Bad JSON emits 'error', which would end the process without a listener.
      app.on('error', () => {})
    },
  )
  if (!server.listening) await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    name: 'peer',
    url: `http://127.0.0.1:${port}`,
    holds: (id) => ids.has(id),
    stop: async () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

/** Starts a whole node of Peerage, with or without Redis. */
export async function startPeerage(options: SideOptions & { redisUrl?: string } = {}): Promise<Side> {
  const input: ConfigInput = {
    port: 0,
    open: true,
    page: false,
    log: { level: 'silent' },
    p2p: { useAsP2PServer: false },
    redis: { url: options.redisUrl ?? null },
    peerjs: {
      path: options.path ?? '/',
      key: options.key ?? 'peerjs',
      concurrentLimit: options.concurrentLimit ?? 5_000,
      allowDiscovery: options.allowDiscovery ?? false,
      expireMs: options.expireMs ?? 60_000,
      cors: options.cors ?? [],
    },
    limits: {
      // All generated refusals come from one address here. Other tests cover the limits.
      address: { failuresPerMinute: 0 },
      name: { failuresPerMinute: 0 },
    },
  }
  const config: Config = configSchema.parse(input)
  const server = new PeerageServer({ config, log: createLogger('silent', new Writable()) })
  const { url } = await server.listen()
  await server.ready()
  return {
    name: 'peerage',
    url,
    holds: (id) => {
      const peer = parsePeer(`default/${id}`)
      return peer.ok && server.node.sessions.online(peer.value) !== undefined
    },
    stop: () => server.stop(),
  }
}
