import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock, OnError } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import type { App } from '@peerage/protocol'
import type { Addresses } from '../gateway/shared/address.js'
import { pause } from '../lib/pause.js'
import { KeyedBuckets } from '../lib/token-bucket.js'
import { Discards, readBody } from './body.js'
import type { ApiKeys } from './keys.js'
import { fingerprintOf, type Once, type Reply } from './once.js'
import { bodyOf, statusOf, type Problem } from './problems.js'
import { storeUnavailable } from './replies.js'
import type { Route } from './route.js'
import { Router } from './router.js'
import { SEND_MOST_MS, idempotencyKey } from './schemas.js'

/** Requests a second of one app on one node, and how many at once after a pause. */
const REQUESTS_PER_SECOND = 200
const BURST = 400
/** Requests of one app that a node handles at once. Each may hold a body of 256 KiB. */
const AT_ONCE_MOST = 256
const BUSY_RETRY_MS = 1_000
/** Refusals a second of one address that are not delayed, and twice as many at once. The delay of the others. */
const REFUSALS_PER_SECOND = 50
const REFUSAL_LATE_MS = 1_000
const SLOWED: ReadonlySet<string> = new Set(['unauthorized', 'rate-limited'])
/** How long a connection may be silent while its request waits. Servers cut silent connections after 10 s. */
const SILENT_MS = SEND_MOST_MS + 15_000

export interface HttpApiOptions {
  /** The path of the API, with slashes at both ends, such as `/v1/`. */
  base: string
  keys: ApiKeys
  routes: Readonly<Record<string, Route>>
  /** The OpenAPI document. */
  document: string
  once: Once
  addresses: Addresses
  clock: Clock
  /** Counts an answer, by operation. `none`: there is no such operation. */
  onAnswer: (operation: string, status: number) => void
  onError: OnError
}

/** Answers the requests of application servers. */
export class HttpApi {
  readonly #options: HttpApiOptions
  readonly #router: Router
  readonly #rates: KeyedBuckets
  readonly #refusals: KeyedBuckets
  readonly #discards: Discards
  readonly #atOnce = new Map<App, number>()

  constructor(options: HttpApiOptions) {
    this.#options = options
    this.#router = new Router(options.routes)
    this.#rates = new KeyedBuckets(REQUESTS_PER_SECOND, options.clock, { burst: BURST })
    this.#refusals = new KeyedBuckets(REFUSALS_PER_SECOND, options.clock)
    this.#discards = new Discards(options.clock)
  }

  /** Returns false, without touching the request, if it is not for the API, or no app has a key. */
  handleRequest(request: IncomingMessage, response: ServerResponse): boolean {
    const { base, keys } = this.#options
    const path = request.url?.split('?', 1)[0] ?? ''
    if (keys.isEmpty || !(path.startsWith(base) || `${path}/` === base)) return false
    this.answer(request, response)
    return true
  }

  /** Answers any request. */
  answer(request: IncomingMessage, response: ServerResponse): void {
    const { onError } = this.#options
    request.socket.setTimeout(SILENT_MS)
    this.#replyTo(request, response)
      .catch((error: unknown): Answer => {
        if (error instanceof RegistryUnavailable) return { reply: NOT_BEGUN }
        onError(error, { stage: 'api' })
        return {
          reply: { ok: false, problem: { code: 'internal', detail: 'this node failed; its log says why' } },
        }
      })
      .then((answer) => this.#late(request, answer))
      .then((answer) => this.#write(request, response, answer))
      .catch((error: unknown) => onError(error, { stage: 'api' }))
      .finally(() => this.#discards.rest(request))
  }

  async #replyTo(request: IncomingMessage, response: ServerResponse): Promise<Answer> {
    const { base, keys, addresses, document } = this.#options
    const [path, query] = splitOnce(request.url ?? '', '?')
    const method = request.method === 'HEAD' ? 'GET' : (request.method ?? '')
    if (path === `${base}openapi.json` && method === 'GET') return { document }
    const app = keys.appOf(request.headers.authorization, addresses.bucketOf(request))
    if (typeof app !== 'string') return { reply: { ok: false, problem: app } }
    const waitMs = this.#rates.take(app)
    if (waitMs > 0) return { reply: limited('more than 200 requests a second came for this app', waitMs) }
    const found = path.startsWith(base) ? this.#router.find(method, path.slice(base.length)) : undefined
    if (found === undefined) return { reply: NOTHING_HERE(base) }
    if (!found.ok) return { reply: found }
    const operation = found.id
    if ((this.#atOnce.get(app) ?? 0) >= AT_ONCE_MOST)
      return { operation, reply: limited('too many requests of this app are under way', BUSY_RETRY_MS) }
    this.#count(app, 1)
    try {
      return { operation, reply: await this.#carryOut([request, response], app, found, query) }
    } finally {
      this.#count(app, -1)
    }
  }

  /**
   * Delays refusals of keys and rates, if they are many. The delay keeps nobody out, but whoever waits for each answer
   * asks no faster than this.
   */
  async #late(request: IncomingMessage, answer: Answer): Promise<Answer> {
    const { addresses, clock } = this.#options
    if (!('reply' in answer) || answer.reply.ok || !SLOWED.has(answer.reply.problem.code)) return answer
    if (this.#refusals.take(addresses.bucketOf(request)) > 0) await pause(clock, REFUSAL_LATE_MS)
    return answer
  }

  async #carryOut(
    [request, response]: [IncomingMessage, ServerResponse],
    app: App,
    { route, params }: { route: Route; params: Record<string, string> },
    queryText: string,
  ): Promise<Reply & { isReplay?: boolean }> {
    const { clock, once } = this.#options
    const { bodyBytes, isOnce } = route.operation
    const query = readQuery(queryText)
    if (!query.ok) return query
    const key = isOnce ? readKey(request.headers['idempotency-key']) : { ok: true as const, value: undefined }
    if (!key.ok) return key
    const body =
      bodyBytes === 0
        ? { ok: true as const, value: { text: '', json: {} } }
        : await readBody(request, bodyBytes, clock)
    if (!body.ok) return body
    const prepared = route.prepare(app, { params, query: query.value, body: body.value.json })
    if (!prepared.ok) return prepared
    const { act, deadlineMs } = prepared
    // A caller that has sent a key may come back for the answer.
    if (key.value === undefined) return act(endOf(response))
    const fingerprint = fingerprintOf(request.method ?? '', request.url ?? '', body.value.text)
    return once.run({ app, key: key.value, fingerprint, deadlineMs }, act)
  }

  #count(app: App, more: 1 | -1): void {
    const now = (this.#atOnce.get(app) ?? 0) + more
    if (now === 0) this.#atOnce.delete(app)
    else this.#atOnce.set(app, now)
  }

  #write(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
    if ('document' in answer) {
      send(request, response, 200, { 'Content-Type': 'application/json' }, answer.document)
      return
    }
    const { reply, operation = 'none' } = answer
    const status = reply.ok ? reply.status : statusOf(reply.problem.code)
    this.#options.onAnswer(operation, status)
    const replayed: Record<string, string> = reply.isReplay === true ? { 'Idempotency-Replayed': 'true' } : {}
    if (!reply.ok) {
      const headers = { ...headersOf(reply.problem), ...replayed }
      send(request, response, status, headers, JSON.stringify(bodyOf(reply.problem)))
    } else if (reply.body === undefined) send(request, response, status, replayed)
    else
      send(
        request,
        response,
        status,
        { 'Content-Type': 'application/json', ...replayed },
        JSON.stringify(reply.body),
      )
  }
}

/** Aborts when the connection of a request ends before its answer. */
function endOf(response: ServerResponse): AbortSignal {
  const end = new AbortController()
  response.once('close', () => end.abort())
  return end.signal
}

type Answer = { document: string } | { reply: Reply & { isReplay?: boolean }; operation?: string }

function send(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  headers: Record<string, string>,
  body?: string,
): void {
  const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }
  response.writeHead(status, {
    ...headers,
    ...length,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

function headersOf({ code, retryAfterMs, allow }: Problem): Record<string, string> {
  return {
    'Content-Type': 'application/problem+json',
    ...(code === 'unauthorized' ? { 'WWW-Authenticate': 'Bearer realm="peerage"' } : {}),
    ...(retryAfterMs === undefined ? {} : { 'Retry-After': String(Math.ceil(retryAfterMs / 1_000)) }),
    ...(allow === undefined ? {} : { Allow: allow.join(', ') }),
  }
}

function limited(detail: string, retryAfterMs: number): Extract<Reply, { ok: false }> {
  return { ok: false, problem: { code: 'rate-limited', detail, retryAfterMs } }
}

/** The store did not take the Idempotency-Key. */
const NOT_BEGUN = storeUnavailable('the store did not answer, so the request was not carried out; try again')
const NOTHING_HERE = (base: string): Extract<Reply, { ok: false }> => ({
  ok: false,
  problem: { code: 'not-found', detail: `there is no such path; ${base}openapi.json lists all` },
})

type Read<T> = { ok: true; value: T } | { ok: false; problem: Problem }

function readQuery(text: string): Read<Record<string, string>> {
  const query = new URLSearchParams(text)
  const values = new Map<string, string>()
  for (const [name, value] of query) {
    if (values.has(name)) {
      const at = `query.${name.slice(0, 64)}`
      const errors = [{ at, detail: 'is there twice' }]
      return { ok: false, problem: { code: 'bad-request', detail: `${at} is there twice`, errors } }
    }
    values.set(name, value)
  }
  return { ok: true, value: Object.fromEntries(values) }
}

function readKey(header: string | string[] | undefined): Read<string | undefined> {
  if (header === undefined) return { ok: true, value: undefined }
  const key = idempotencyKey.safeParse(header)
  if (key.success) return { ok: true, value: key.data }
  const detail = key.error.issues[0]?.message ?? 'is not valid'
  const errors = [{ at: 'header.Idempotency-Key', detail }]
  return { ok: false, problem: { code: 'bad-request', detail: `header.Idempotency-Key: ${detail}`, errors } }
}

function splitOnce(text: string, at: string): [string, string] {
  const i = text.indexOf(at)
  return i < 0 ? [text, ''] : [text.slice(0, i), text.slice(i + 1)]
}
