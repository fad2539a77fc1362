import { RegistryUnavailable } from '@peerage/core'
import type { App } from '@peerage/protocol'
import type { z } from 'zod'
import type { Operation } from './operations.js'
import type { FieldError, Problem } from './problems.js'
import type { Reply } from './once.js'
import { storeUnavailable, type Outcome } from './replies.js'
import { textOf } from './texts.js'

/** What a handler reads. */
export interface Call<P, Q, B> {
  app: App
  params: P
  query: Q
  body: B
  /** Aborts when nobody waits for the answer any more. */
  signal: AbortSignal | undefined
}

/** What a request holds, before it is checked. */
export interface Raw {
  params: Readonly<Record<string, string>>
  query: Readonly<Record<string, string>>
  body: unknown
}

/** An operation that can be called. */
export interface Route {
  operation: Operation
  /** Checks a request. Returns what carries it out, or what is wrong with it. */
  prepare(
    app: App,
    raw: Raw,
  ):
    | { ok: true; deadlineMs: number; act: (signal?: AbortSignal) => Promise<Reply> }
    | { ok: false; problem: Problem }
}

/** The longest time of an operation that does not wait for peers. */
const DEADLINE_MS = 10_000

/** Connects an operation with its handler. `deadlineOf` is how long a call may take. */
export function route<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, A extends z.ZodType>(
  operation: Operation<P, Q, B, A>,
  handle: (call: Call<z.output<P>, z.output<Q>, z.output<B>>) => Promise<Outcome<z.input<A>>>,
  deadlineOf: (body: z.output<B>) => number = () => DEADLINE_MS,
): Route {
  return {
    operation,
    prepare: (app, raw) => {
      const params = operation.params.safeParse(raw.params, { error: textOf })
      const query = operation.query.safeParse(raw.query, { error: textOf })
      const body = operation.body.safeParse(raw.body, { error: textOf })
      if (!params.success || !query.success || !body.success) {
        const errors = [
          ...errorsOf('path', params.error),
          ...errorsOf('query', query.error),
          ...errorsOf('body', body.error),
        ]
        return { ok: false, problem: { code: 'bad-request', detail: summaryOf(errors), errors } }
      }
      const call = { app, params: params.data, query: query.data, body: body.data }
      return {
        ok: true,
        deadlineMs: deadlineOf(body.data),
        act: async (signal) => {
          const outcome = await handle({ ...call, signal }).catch((error: unknown) => {
            if (error instanceof RegistryUnavailable) return storeUnavailable(operation.outage)
            throw error
          })
          return outcome.ok ? { ok: true, status: operation.answer.status, body: outcome.body } : outcome
        },
      }
    },
  }
}

/** More would help nobody, and a long list of wrong values would be a long answer. */
const ERRORS_MOST = 20

function errorsOf(where: string, error: z.ZodError | undefined): FieldError[] {
  return (error?.issues ?? []).flatMap((issue) => fieldErrors(where, issue)).slice(0, ERRORS_MOST)
}

function fieldErrors(where: string, issue: z.core.$ZodIssue): FieldError[] {
  const at = issue.path.reduce<string>(
    (path, key) => (typeof key === 'number' ? `${path}[${key}]` : `${path}.${String(key)}`),
    where,
  )
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ at: `${at}.${key.slice(0, 64)}`, detail: 'is unknown' }))
  return [{ at: at.slice(0, 128), detail: issue.message }]
}

function summaryOf(errors: readonly FieldError[]): string {
  const [first] = errors
  const more = errors.length > 1 ? `, and ${errors.length - 1} more in errors` : ''
  return first === undefined ? 'the request is not valid' : `${first.at}: ${first.detail}${more}`
}
