import { createHash } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type { Clock, OnError } from '@peerage/core'
import type { App } from '@peerage/protocol'
import type { AccessDecision, AdmitRequest } from '../gateway/shared/access.js'
import { BoundedCache } from './bounded-cache.js'
import type { Outbound } from './outbound.js'
import { badToken, refusal } from './refusal.js'
import type { AppAccess, WebhookSettings } from './app-access.js'
import { TOKEN_LENGTH_MOST } from './token-header.js'
import { readWebhookAnswer, type WebhookAnswer } from './webhook-answer.js'

const ANSWER_BYTES_MOST = 65_536
/** How many calls of one app run at once. Above this, peers are told to come back. */
const CALLS_MOST = 256
const BUSY_RETRY_MS = 1_000
const UNREACHABLE_RETRY_MS = 2_000
const CACHED_MOST = 10_000
const CACHED_BYTES_MOST = 16_777_216
/** What a proxy in front of the webhook answers when it cannot reach it. */
const OUTAGES: readonly number[] = [502, 503, 504]

export interface WebhookAccessOptions {
  clock: Clock
  outbound: Outbound
  onError: OnError
}

/** What a call came to. `outage`: the webhook could not be asked. `fault`: it was asked, and what it said is no answer. */
type Called = { type: 'answer'; answer: WebhookAnswer } | { type: 'outage' | 'fault'; problem: string }

/**
 * Access by a program of the application: it gets one POST for each peer, and its answer decides.
 *
 * @example
 *   const access = webhookAccess(app, settings.webhook, { clock: systemClock, outbound, onError })
 *   const decision = await access.admit({ app, name, token, wire: 'native', address })
 */
export function webhookAccess(app: App, settings: WebhookSettings, options: WebhookAccessOptions): AppAccess {
  return new WebhookAccess(app, settings, options)
}

class WebhookAccess implements AppAccess {
  readonly #app: App
  readonly #settings: WebhookSettings
  readonly #options: WebhookAccessOptions
  readonly #cache = new BoundedCache<AccessDecision>({ most: CACHED_MOST, bytesMost: CACHED_BYTES_MOST })
  readonly #stopped = new AbortController()
  #calls = 0
  /** Why the newest call failed. Undefined after an answer. Each reason is reported once. */
  #failure: string | undefined

  constructor(app: App, settings: WebhookSettings, options: WebhookAccessOptions) {
    this.#app = app
    this.#settings = settings
    this.#options = options
    // Each call listens, so that it ends with `stop`.
    setMaxListeners(CALLS_MOST, this.#stopped.signal)
  }

  async admit(request: AdmitRequest): Promise<AccessDecision> {
    if ((request.token?.length ?? 0) > TOKEN_LENGTH_MOST)
      return badToken(`the token is longer than ${TOKEN_LENGTH_MOST} characters`)
    const { clock } = this.#options
    const body = this.#bodyOf(request)
    // The hash keeps the cache small, and tokens out of it.
    const key = createHash('sha256').update(body).digest('base64')
    const cached = this.#cache.get(key, clock.monotonic())
    if (cached !== undefined) return cached
    if (this.#calls >= CALLS_MOST)
      return refusal('access-unavailable', 'too many peers come at once; try again', BUSY_RETRY_MS)
    this.#calls++
    const called = await this.#call(body, request).finally(() => this.#calls--)
    if (called.type !== 'answer') return this.#failed(called, request)
    this.#failure = undefined
    const { decision, cacheMs } = called.answer
    const bytes = JSON.stringify(decision).length
    if (cacheMs > 0) this.#cache.set(key, decision, { bytes, endsAt: clock.monotonic() + cacheMs })
    return decision
  }

  stop(): void {
    this.#stopped.abort()
    this.#cache.clear()
  }

  async #call(body: string, request: AdmitRequest): Promise<Called> {
    const { url, timeoutMs, secret, allowPrivate } = this.#settings
    const { outbound, clock } = this.#options
    const answer = await outbound.request(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        ...(secret !== null && { authorization: `Bearer ${secret}` }),
      },
      body,
      timeoutMs,
      mostBytes: ANSWER_BYTES_MOST,
      allowPrivate,
      signal: this.#stopped.signal,
    })
    if (!answer.ok)
      return { type: answer.cause === 'unreachable' ? 'outage' : 'fault', problem: answer.problem }
    const { status } = answer
    if (status !== 200)
      return {
        type: OUTAGES.includes(status) ? 'outage' : 'fault',
        problem: `answered with status ${status}`,
      }
    const read = readWebhookAnswer(answer.body, { app: this.#app, request, now: clock.now() })
    return read.ok ? { type: 'answer', answer: read.answer } : { type: 'fault', problem: read.problem }
  }

  #failed(
    { type, problem }: { type: 'outage' | 'fault'; problem: string },
    { isRenewal = false }: AdmitRequest,
  ): AccessDecision {
    const { url, whenUnreachable } = this.#settings
    const isAllowed = type === 'outage' && whenUnreachable === 'allow'
    if (this.#failure !== problem && !this.#stopped.signal.aborted) {
      this.#failure = problem
      const { origin, pathname } = new URL(url)
      const meanwhile = isAllowed ? 'peers are let in meanwhile' : 'peers are refused meanwhile'
      const message = `app ${this.#app}: the access webhook at ${origin}${pathname} ${problem}; ${meanwhile}`
      this.#options.onError(new Error(message), { stage: 'access webhook' })
    }
    // After a fault nobody is let in, even then: else a peer could come in by a token that confuses the webhook.
    // A peer that is connected keeps what the webhook granted until that ends, and is not let in without an end instead.
    if (isAllowed && !isRenewal) return { ok: true, app: this.#app }
    const detail =
      type === 'outage' ? 'does not answer; try again' : 'gave no valid answer; the log of the node says why'
    return refusal('access-unavailable', `the access webhook of this app ${detail}`, UNREACHABLE_RETRY_MS)
  }

  /** `name` is absent for a peer that asked for none, so such peers can share a cached answer. */
  #bodyOf({ name, isNameMade, wire, address, origin, token, headers = {} }: AdmitRequest): string {
    const sent = this.#settings.headers.flatMap((header) => {
      const value = headers[header]
      return value === undefined ? [] : [[header, value] as const]
    })
    return JSON.stringify({
      app: this.#app,
      ...(name === undefined ? { lists: true } : isNameMade !== true && { name }),
      wire,
      address,
      origin,
      token,
      headers: Object.fromEntries(sent),
    })
  }
}
