import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock, Node } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import type { App } from '@peerage/protocol'
import type { AppBudgets } from '../../apps/budgets.js'
import type { AppPolicies, AppPolicy } from '../../apps/policy.js'
import { PUBLIC_KEY } from '../../apps/policy.js'
import { greeting } from '../../lib/greeting.js'
import type { AdmitRequest, Allowed, CheckedAccess } from '../shared/access.js'
import { isOriginAllowed } from '../shared/access.js'
import type { Addresses } from '../shared/address.js'
import { holderOf, type RevocationCheck } from '../shared/claimer.js'
import type { Limits } from '../shared/limits.js'
import type { GatewayMetrics, OnRefused } from '../shared/events.js'
import { DRAIN_RETRY_MS, WRONG_ORIGIN } from '../shared/refuse-upgrade.js'
import { appAsked } from './admit.js'
import { refusals } from './wire.js'

export interface PeerJsHttpOptions {
  node: Node
  clock: Clock
  apps: AppPolicies
  budgets: AppBudgets
  /** An application's own rules, which replace those of every app. */
  access?: CheckedAccess | undefined
  revocations?: RevocationCheck | undefined
  addresses: Addresses
  limits: Limits
  /** The path of the wire, with slashes at both ends. */
  base: string
  /** If `base` is this path, a GET of it is left to the rest of the server. */
  root: string
  cors: readonly string[]
  metrics: Pick<GatewayMetrics, 'rejected'>
  onRefused: OnRefused
  generateId?: () => string
  onError: (error: unknown, context: { stage: string }) => void
}

const METHODS = 'GET,HEAD,PUT,PATCH,POST,DELETE'
const RESOURCE_PATTERN = /^([^/]+)\/(id|peers)\/?$/i
/** The longest list of ids, because a million ids are 40 MB. A header says when ids are left out. */
const MAX_LISTED = 100_000
/** How long a list is reused, because to read all names of an app is expensive. */
const LIST_KEPT_MS = 2_000

type Resource = { type: 'greeting' } | { type: 'id' } | { type: 'peers'; key: string }

/** Answers the HTTP requests of PeerJS: the greeting, a fresh id and, if allowed, the ids that are online [PJ12]. */
export class PeerJsHttp {
  readonly #options: PeerJsHttpOptions
  readonly #lists = new Map<string, { body: Promise<List>; until: number }>()

  constructor(options: PeerJsHttpOptions) {
    this.#options = options
  }

  /** Returns false, without touching the request, when it is not ours. */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    const resource = this.#resourceOf(request)
    const { method } = request
    if (resource === undefined) return false
    if (method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS') return false
    if (!this.#options.apps.mayConnect(request.headers.origin)) {
      const { reason: code, detail } = WRONG_ORIGIN
      this.#options.metrics.rejected('peerjs', code)
      this.#options.onRefused({ wire: 'peerjs', code, detail, origin: request.headers.origin })
      answer(response, 403, TEXT_TYPE, 'Forbidden')
      return true
    }
    this.#allowOrigin(request, response)
    if (method === 'OPTIONS') {
      preflight(request, response)
      return true
    }
    switch (resource.type) {
      case 'greeting':
        answer(response, 200, JSON_TYPE, JSON.stringify(greeting))
        return true
      case 'id':
        if (this.#options.node.draining) {
          // With 503 a balancer tries another node.
          this.#options.metrics.rejected('peerjs', 'draining')
          response.setHeader('Retry-After', Math.ceil(DRAIN_RETRY_MS / 1_000))
          answer(response, 503, TEXT_TYPE, 'Service Unavailable')
          return true
        }
        this.#id(response)
        return true
      case 'peers':
        this.#peers(resource.key, request, response).catch((error: unknown) => {
          this.#options.onError(error, { stage: 'discovery' })
          const down = error instanceof RegistryUnavailable
          answer(
            response,
            down ? 503 : 500,
            TEXT_TYPE,
            down ? 'Service Unavailable' : 'Internal Server Error',
          )
        })
        return true
    }
  }

  #resourceOf(request: IncomingMessage): Resource | undefined {
    const { base, root } = this.#options
    const path = request.url?.split('?', 1)[0] ?? ''
    // The root of a server belongs to its application.
    if (base !== root && (path === base || `${path}/` === base)) return { type: 'greeting' }
    if (!path.startsWith(base)) return undefined
    const [, key, what] = RESOURCE_PATTERN.exec(path.slice(base.length)) ?? []
    const text = key === undefined ? undefined : decoded(key)
    if (text === undefined || !this.#isServed(text, request)) return undefined
    return what?.toLowerCase() === 'id' ? { type: 'id' } : { type: 'peers', key: text }
  }

  /** Whether a key is served. `/users/id` may belong to an application. A wrong key counts, because it may be a guess. */
  #isServed(key: string, request: IncomingMessage): boolean {
    const { apps, addresses, limits } = this.#options
    const meaning = apps.appOfKey(key)
    // A key that everybody knows is no guess, and where any key is served there is nothing to guess.
    if (meaning.ok && !meaning.isSecret) return true
    const isRight = (): boolean => meaning.ok || appAsked(apps, meaning, key) !== undefined
    return limits.tryKey(addresses.bucketOf(request), isRight)
  }

  async #peers(key: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { apps, budgets, clock, addresses, limits } = this.#options
    const refuse = (): void => answer(response, 401, TEXT_TYPE, 'Unauthorized')
    const meaning = apps.appOfKey(key)
    const asked = appAsked(apps, meaning, key)
    const use = budgets.of(asked ?? apps.defaultApp)
    if (use?.policy.discovery !== true) return refuse()
    const address = addresses.bucketOf(request)
    // This comes before the access rules, so that a wrong key costs the peer as much as a right one.
    const waitMs = Math.max(limits.lookups(address, 1), use.connects.take(1, clock.monotonic()))
    if (waitMs > 0) {
      response.setHeader('Retry-After', Math.ceil(waitMs / 1_000))
      answer(response, 429, TEXT_TYPE, 'Too Many Requests')
      return
    }
    const app = await this.#appOf(use.policy, { key, asked, address }, request)
    // If any key is served, or if the key is a token, it has not been checked before.
    const isChecked = meaning.ok && (meaning.isSecret || key === PUBLIC_KEY)
    const mayKnow = isChecked || limits.tryKey(address, () => app !== undefined)
    if (app === undefined || !mayKnow) return refuse()
    const { body, complete } = await this.#list(app)
    if (!complete) response.setHeader('Peerage-Complete', 'false')
    answer(response, 200, JSON_TYPE, body)
  }

  /** Whether a token that the access rules accept may list names. One that is banned or revoked may not. */
  async #mayList(allowed: Allowed): Promise<boolean> {
    const { budgets, revocations } = this.#options
    const { app } = allowed
    if (allowed.discovery === false) return false
    if (revocations === undefined || budgets.of(app)?.policy.hasApi !== true) return true
    const answer = await revocations.check(app, holderOf(allowed))
    if (answer.ok) return true
    if (answer.code === 'access-unavailable') throw new RegistryUnavailable(answer.detail)
    this.#options.onRefused({ wire: 'peerjs', code: answer.code, app, detail: answer.detail })
    return false
  }

  /** The app whose names this key may see. With a mapping each key sees its own app, otherwise all keys see one app. */
  async #appOf(
    policy: AppPolicy,
    { key, asked: app, address }: { key: string; asked: App | undefined; address: string },
    { headers }: IncomingMessage,
  ): Promise<App | undefined> {
    const { onRefused } = this.#options
    const { origin } = headers
    if (!isOriginAllowed(policy.origins, origin)) {
      onRefused({
        wire: 'peerjs',
        code: WRONG_ORIGIN.reason,
        app: policy.app,
        detail: WRONG_ORIGIN.detail,
        origin,
      })
      return undefined
    }
    const asked: AdmitRequest = { isNameMade: false, wire: 'peerjs', address, token: key, headers }
    if (origin !== undefined) asked.origin = origin
    if (app !== undefined) asked.app = app
    const admitted = await (this.#options.access ?? policy).admit(asked)
    if (admitted.ok) return (await this.#mayList(admitted)) ? admitted.app : undefined
    onRefused({ wire: 'peerjs', code: admitted.code, app: policy.app, detail: refusals.key, origin })
    return undefined
  }

  #list(app: App): Promise<List> {
    const { clock, node } = this.#options
    const now = clock.monotonic()
    const kept = this.#lists.get(app)
    if (kept && now < kept.until) return kept.body
    const body = node.listing.online(app, MAX_LISTED).then(({ names, complete }) => ({
      body: JSON.stringify(names),
      complete,
    }))
    this.#lists.set(app, { body, until: now + LIST_KEPT_MS })
    body.catch(() => this.#lists.delete(app))
    return body
  }

  #id(response: ServerResponse): void {
    const { generateId = randomUUID, onError } = this.#options
    try {
      const id: unknown = generateId()
      if (typeof id !== 'string') throw new TypeError(`generateId returned ${typeof id}, not a string`)
      answer(response, 200, HTML_TYPE, id)
    } catch (error) {
      onError(error, { stage: 'generateId' })
      answer(response, 500, TEXT_TYPE, 'Internal Server Error')
    }
  }

  #allowOrigin(request: IncomingMessage, response: ServerResponse): void {
    const { cors } = this.#options
    const { origin } = request.headers
    response.setHeader('Vary', 'Origin')
    if (origin !== undefined && (cors.length === 0 || cors.includes(origin)))
      response.setHeader('Access-Control-Allow-Origin', origin)
  }
}

interface List {
  body: string
  complete: boolean
}

const JSON_TYPE = 'application/json; charset=utf-8'
const HTML_TYPE = 'text/html; charset=utf-8'
const TEXT_TYPE = 'text/plain; charset=utf-8'

function answer(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) })
  response.end(body)
}

function preflight(request: IncomingMessage, response: ServerResponse): void {
  const headers = request.headers['access-control-request-headers']
  response.setHeader('Vary', 'Origin, Access-Control-Request-Headers')
  response.setHeader('Access-Control-Allow-Methods', METHODS)
  if (headers !== undefined) response.setHeader('Access-Control-Allow-Headers', headers)
  response.writeHead(204, { 'Content-Length': 0 })
  response.end()
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // A stray percent sign is allowed in a key.
    return text
  }
}
