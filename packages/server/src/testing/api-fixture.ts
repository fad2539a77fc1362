import { createServer, type IncomingMessage } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Peer } from '@peerage/client'
import { connect } from '@peerage/client'
import type { Backend, DisconnectOptions, MemoryCluster, Whom } from '@peerage/core'
import { defaultTimes, memoryCluster, systemClock } from '@peerage/core'
import type { App } from '@peerage/protocol'
import { parseApp } from '@peerage/protocol'
import { pino } from 'pino'
import { createApi, type Api, type ApiOptions } from '../api/create-api.js'
import { openApi } from '../api/openapi.js'
import { configSchema } from '../config/schema.js'
import { Addresses } from '../gateway/shared/address.js'
import { PeerageServer } from '../server.js'
import { DocumentCheck, documentShape, type Called } from './api-document.js'

const closers: (() => Promise<unknown> | void)[] = []

/** Ends everything that the fixtures of a test have opened. */
export async function closeApiFixtures(): Promise<void> {
  for (const close of closers.splice(0).toReversed()) await close()
}

export const KEY = 'key-of-the-default-app-000'
export const OTHER_KEY = 'key-of-the-other-app-00000'

export interface ApiFixture {
  api: Api
  /** Where the API is, such as `http://127.0.0.1:1/v1`. */
  url: string
  server: PeerageServer
  store: Backend
  /** The connections that the API asked to close. */
  disconnects: { app: App; whom: Whom; how: DisconnectOptions }[]
  errors: unknown[]
  answers: string[]
  minted: unknown[]
  setKeys: (keys: [App, string[]][]) => void
  /** Sends a request with the key of the default app. */
  call: (path: string, options?: CallOptions) => Promise<Called>
  /** Connects a peer with the SDK. */
  peer: (name: string, app?: string) => Promise<Peer>
}

export interface CallOptions {
  method?: string
  body?: unknown
  headers?: Record<string, string>
  key?: string | null
}

export interface FixtureOptions extends Partial<ApiOptions> {
  cluster?: MemoryCluster
}

export function app(text: string): App {
  const parsed = parseApp(text)
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.value
}

/** Each answer that a test gets must be one that the document describes. */
const check = new DocumentCheck(documentShape.parse(JSON.parse(JSON.stringify(openApi('/v1', '1.2.3')))))

/** Starts a node in memory, with an API for two apps. */
export async function startApi(options: FixtureOptions = {}): Promise<ApiFixture> {
  const { cluster = memoryCluster({ clock: systemClock, times: defaultTimes }) } = options
  const [errors, answers, minted]: [unknown[], string[], unknown[]] = [[], [], []]
  const disconnects: ApiFixture['disconnects'] = []
  const store = cluster.backend({ onError: (error) => errors.push(error) })
  const config = configSchema.parse({ port: 0, page: false, p2p: { useAsP2PServer: false } })
  const server = new PeerageServer({
    config,
    log: pino({ level: 'silent' }),
    backend: store,
  })
  const { url: tier } = await server.listen()
  closers.push(() => server.stop())
  await server.ready()
  server.node.indexing.setIndexed(() => true)
  let keys: [App, string[]][] = [
    [app('default'), [KEY]],
    [app('other'), [OTHER_KEY]],
  ]
  const listeners = new Set<() => void>()
  const { node } = server
  const disconnect = node.disconnects.disconnect.bind(node.disconnects)
  node.disconnects.disconnect = (of, whom, how) => {
    disconnects.push({ app: of, whom, how })
    return disconnect(of, whom, how)
  }
  const api = createApi({
    base: '/',
    version: '1.2.3',
    apps: {
      apiKeys: () => new Map(keys),
      onReplaced: (listener) => {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
    },
    node,
    nodes: store.nodes,
    records: store.records,
    answers: store.answers,
    addresses: new Addresses([]),
    mint: (of, claims) => {
      minted.push(claims)
      if (of !== 'default') return Promise.resolve(undefined)
      return Promise.resolve({ token: 'a.b.c', jti: 'id', expiresAt: Date.now() + claims.ttlMs })
    },
    tokenMs: () => 3_600_000,
    graceMs: config.times.graceMs,
    failuresPerMinute: 5,
    metrics: { routed: () => {}, apiAnswered: (operation, status) => answers.push(`${operation} ${status}`) },
    clock: systemClock,
    onError: (error) => errors.push(error),
    ...options,
  })
  closers.push(() => api.stop())
  const http = createServer((request: IncomingMessage, response) => {
    if (api.http.handleRequest(request, response)) return
    response.writeHead(404).end('not ours')
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  closers.push(() => {
    http.closeAllConnections()
    http.close()
  })
  const { port } = http.address() as AddressInfo
  const url = `http://127.0.0.1:${port}/v1`
  return {
    api,
    url,
    server,
    store,
    disconnects,
    errors,
    answers,
    minted,
    setKeys: (next) => {
      keys = next
      for (const listener of listeners) listener()
    },
    call: (path, more) => call(url, path, more),
    peer: async (name, of = 'default') => {
      const peer = await connect(tier, { name, app: of, storage: null, p2p: false, leaveOnExit: false })
      closers.push(() => peer.leave())
      return peer
    },
  }
}

function bodyOf(body: unknown): string | Uint8Array<ArrayBuffer> {
  if (typeof body === 'string') return body
  return body instanceof Uint8Array ? new Uint8Array(body) : JSON.stringify(body)
}

async function call(
  url: string,
  path: string,
  { method, body, headers = {}, key = KEY }: CallOptions = {},
): Promise<Called> {
  const answer = await fetch(`${url}${path}`, {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: {
      ...(key === null ? {} : { Authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: bodyOf(body) }),
  })
  const text = await answer.text()
  const json: unknown = text === '' ? undefined : JSON.parse(text)
  const called = { status: answer.status, headers: answer.headers, text, json }
  check.expectDescribed(method ?? (body === undefined ? 'GET' : 'POST'), path, called)
  return called
}
