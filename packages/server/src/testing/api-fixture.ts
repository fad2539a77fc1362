import { createServer, type IncomingMessage } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Peer } from '@peerage/client'
import { connect } from '@peerage/client'
import { memoryCluster, systemClock, type MemoryCluster } from '@peerage/core'
import { defaultTimes } from '@peerage/core'
import type { App, Room } from '@peerage/protocol'
import { parseApp, parseName } from '@peerage/protocol'
import { pino } from 'pino'
import { createApi, type Api, type ApiOptions } from '../api/create-api.js'
import type { Answers, ApiNode, Records, Whom } from '../api/node.js'
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
  store: FakeStore
  /** The connections that the API asked to close. */
  disconnects: { app: App; whom: Whom; options: { code: number; text: string; before?: number } }[]
  said: { app: App; room: Room; frame: string }[]
  errors: unknown[]
  answers: string[]
  minted: unknown[]
  setKeys: (keys: { app: App; keys: string[] }[]) => void
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
  store?: FakeStore
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
  const { cluster = memoryCluster({ clock: systemClock, times: defaultTimes }), store = new FakeStore() } =
    options
  const config = configSchema.parse({ port: 0, page: false, p2p: { useAsP2PServer: false } })
  const server = new PeerageServer({
    config,
    log: pino({ level: 'silent' }),
    backend: cluster.backend({ onError: (error) => errors.push(error) }),
  })
  const { url: tier } = await server.listen()
  closers.push(() => server.stop())
  await server.ready()
  server.node.setIndexed(() => true)
  const { disconnects, said, errors, answers, minted }: Kept = {
    disconnects: [],
    said: [],
    errors: [],
    answers: [],
    minted: [],
  }
  let keys = [
    { app: app('default'), keys: [KEY] },
    { app: app('other'), keys: [OTHER_KEY] },
  ]
  const listeners = new Set<() => void>()
  const node = nodeOf(server, { disconnects, said })
  const api = createApi({
    base: '/',
    version: '1.2.3',
    apps: {
      apiKeys: () => keys,
      onReplaced: (listener) => {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
    },
    node,
    nodes: { list: () => [{ node: server.node.id, status: { state: 'live' } }] },
    records: store,
    answers: store,
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
    said,
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

type Kept = Pick<ApiFixture, 'disconnects' | 'said' | 'errors' | 'answers' | 'minted'>

function nodeOf({ node }: PeerageServer, { disconnects, said }: Pick<Kept, 'disconnects' | 'said'>): ApiNode {
  const rooms: ApiNode['rooms'] = {
    sayFrom: (of, room, frame) => {
      said.push({ app: of, room, frame })
      return Promise.resolve('sent')
    },
    // Pages of two.
    page: (_, __, after) => {
      const left = ['ada', 'bob', 'eve'].filter((name) => after === undefined || name > after)
      return Promise.resolve({ members: left.slice(0, 2).map(memberOf), more: left.length > 2 })
    },
  }
  const disconnect: ApiNode['disconnect'] = (of, whom, options) => {
    disconnects.push({ app: of, whom, options })
    return Promise.resolve({ closed: 'name' in whom ? 1 : undefined })
  }
  return new Proxy(node, {
    get: (target, key) => {
      if (key === 'rooms') return rooms
      if (key === 'disconnect') return disconnect
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  }) as unknown as ApiNode
}

function memberOf(text: string) {
  const name = parseName(text)
  if (!name.ok) throw new Error(name.problem)
  return { name: name.value, state: 'online' as const, since: 1 }
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

/** Records and answers in memory, which never end by themselves. Nodes may share one. */
export class FakeStore implements Records, Answers {
  readonly kept = new Map<string, string>()
  failure: Error | undefined

  async put(of: App, kind: string, key: string, value: string): Promise<'put' | 'full'> {
    this.#mayFail()
    this.kept.set(`${of} ${kind} ${key}`, value)
    return Promise.resolve('put')
  }

  async get(of: App, kind: string, keys: readonly string[]): Promise<(string | undefined)[]> {
    this.#mayFail()
    return Promise.resolve(keys.map((key) => this.kept.get(`${of} ${kind} ${key}`)))
  }

  async delete(of: App, kind: string, key: string): Promise<boolean> {
    this.#mayFail()
    return Promise.resolve(this.kept.delete(`${of} ${kind} ${key}`))
  }

  async page(of: App, kind: string, after: string | undefined, most: number) {
    this.#mayFail()
    const prefix = `${of} ${kind} `
    const all = Array.from(this.kept, ([key, value]) => ({ key, value, endsInMs: 1_000 }))
      .filter(({ key }) => key.startsWith(prefix))
      .map((one) => ({ ...one, key: one.key.slice(prefix.length) }))
      .filter(({ key }) => after === undefined || key > after)
      .toSorted((a, b) => (a.key < b.key ? -1 : 1))
    return Promise.resolve({ records: all.slice(0, most), more: all.length > most })
  }

  async begin(of: App, key: string, value: string): Promise<string | undefined> {
    this.#mayFail()
    const known = this.kept.get(`${of} answer ${key}`)
    if (known === undefined) this.kept.set(`${of} answer ${key}`, value)
    return Promise.resolve(known)
  }

  async finish(of: App, key: string, value: string): Promise<void> {
    this.#mayFail()
    this.kept.set(`${of} answer ${key}`, value)
    return Promise.resolve()
  }

  async forget(of: App, key: string): Promise<void> {
    this.#mayFail()
    this.kept.delete(`${of} answer ${key}`)
    return Promise.resolve()
  }

  #mayFail(): void {
    if (this.failure) throw this.failure
  }
}
