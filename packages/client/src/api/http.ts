import { ApiError } from './api-error.js'
import type { ApiErrorCode } from './types.js'

/** The wait before the second attempt. It doubles up to the second value, with a jitter of a quarter. */
const RETRY_FIRST_MS = 250
const RETRY_MOST_MS = 5_000

export interface HttpOptions {
  /** The URL of the API, with a slash at its end. */
  base: string
  key: string
  fetch: typeof fetch
  /** How long a call and its attempts may take, without the time that it waits for peers. */
  timeoutMs: number
}

/** One call. */
export interface HttpCall {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Below the base. */
  path: string
  query?: Record<string, string | number | undefined>
  body?: unknown
  /** The fields that every answer of a node has. None: its answer has no body. */
  answer: readonly string[]
  idempotencyKey?: string
  /** How long the node may wait for peers before it answers. */
  waitMs?: number
  signal?: AbortSignal | undefined
}

interface Attempt {
  status: number
  json: unknown
  retryAfterMs: number | undefined
}

/**
 * Makes a call, and repeats it while it fails for a passing reason and time is left. Every repeated call is safe: it only
 * reads, sets a value, or has an Idempotency-Key. Resolves with the body of the answer; undefined for 204.
 */
export async function makeCall(options: HttpOptions, call: HttpCall): Promise<unknown> {
  // Throws a TypeError for what JSON cannot hold.
  const body = call.body === undefined ? null : JSON.stringify(call.body)
  const until = Date.now() + options.timeoutMs + (call.waitMs ?? 0)
  const { signal } = call
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted()
    const result = await tryOnce(options, { ...call, body }, until)
    if (!(result instanceof ApiError) && isAnswer(result, call)) return result.json
    const error = result instanceof ApiError ? result : errorOf(result)
    const backoffMs = Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** attempt) * (0.75 + Math.random() / 2)
    const waitMs = Math.max(backoffMs, result instanceof ApiError ? 0 : (result.retryAfterMs ?? 0))
    if (!mayPass(error) || Date.now() + waitMs >= until) throw error
    await pause(waitMs, signal)
  }
}

function isAnswer({ status, json }: Attempt, { answer }: HttpCall): boolean {
  if (answer.length === 0) return status === 204
  return status < 300 && answer.every((field) => Object.hasOwn(Object(json), field))
}

const NO_NODE = { code: 'unreachable', why: 'no node answered it' } as const
/** What a proxy or a load balancer answers by itself: it has no node, gets no answer of one, or has limits of its own. */
const PROXIED: Partial<Record<number, { code: ApiErrorCode; why: string }>> = {
  413: { code: 'too-large', why: 'it lets no body of this size through' },
  429: { code: 'rate-limited', why: 'it lets no more requests through' },
  502: NO_NODE,
  503: NO_NODE,
  504: NO_NODE,
}

/** Whether the same call may succeed later. */
function mayPass({ code }: ApiError): boolean {
  return (
    code === 'unreachable' ||
    code === 'in-progress' ||
    code === 'rate-limited' ||
    code === 'draining' ||
    code === 'store-unavailable'
  )
}

async function tryOnce(
  { base, key, fetch: send }: HttpOptions,
  { method, path, query = {}, body, idempotencyKey, signal }: HttpCall & { body: string | null },
  until: number,
): Promise<Attempt | ApiError> {
  const url = new URL(base + path)
  for (const [name, value] of Object.entries(query))
    if (value !== undefined) url.searchParams.set(name, String(value))
  const late = AbortSignal.timeout(Math.max(1, until - Date.now()))
  try {
    const answer = await send(url, {
      method,
      headers: {
        Authorization: `Bearer ${key}`,
        ...(body === null ? {} : { 'Content-Type': 'application/json' }),
        ...(idempotencyKey === undefined ? {} : { 'Idempotency-Key': idempotencyKey }),
      },
      body,
      // The key must not go anywhere else.
      redirect: 'error',
      signal: signal === undefined ? late : AbortSignal.any([signal, late]),
    })
    const text = await answer.text()
    const seconds = Number(answer.headers.get('Retry-After') ?? Number.NaN)
    const retryAfterMs = Number.isFinite(seconds) ? seconds * 1_000 : undefined
    return { status: answer.status, json: text === '' ? undefined : parsed(text), retryAfterMs }
  } catch (cause) {
    signal?.throwIfAborted()
    const why = late.aborted ? 'it did not answer in time' : whyOf(cause)
    return new ApiError('unreachable', `${base} cannot be used: ${why}`, { cause })
  }
}

/** fetch says only that it failed. Its cause says why. */
function whyOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  return cause instanceof Error ? `${error.message} (${cause.message})` : error.message
}

/** Undefined for a text that is not JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function errorOf({ status, json }: Attempt): ApiError {
  const { code, detail, errors }: Partial<Record<string, unknown>> = Object(json)
  if (typeof code !== 'string' || typeof detail !== 'string') {
    const proxied = PROXIED[status]
    if (proxied !== undefined)
      return new ApiError(proxied.code, `a proxy before the nodes answered ${status}: ${proxied.why}`, {
        status,
      })
    return new ApiError(
      'not-an-api',
      `something answered ${status}, but it is not the API of a node: check the URL, and that the app has api.keys`,
      { status },
    )
  }
  const all = Array.isArray(errors) ? errors.filter(isFieldError) : []
  // A node of a later version may have more codes.
  return new ApiError(code as ApiErrorCode, `${code}: ${detail}`, { status, errors: all })
}

function isFieldError(input: unknown): input is { at: string; detail: string } {
  const { at, detail }: Partial<Record<string, unknown>> = Object(input)
  return typeof at === 'string' && typeof detail === 'string'
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
    const abort = (): void => {
      end()
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      end()
      resolve()
    }, ms)
    signal?.addEventListener('abort', abort)
  })
}
