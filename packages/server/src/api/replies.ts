import type { Problem, ProblemCode } from './problems.js'

/** How a handler ends: with the body of the answer, or with a problem. */
export type Outcome<T> = { ok: true; body: T } | { ok: false; problem: Problem }

export function done<T>(body: T): { ok: true; body: T } {
  return { ok: true, body }
}

export function refuse(
  code: ProblemCode,
  detail: string,
  retryAfterMs?: number,
): Extract<Outcome<never>, { ok: false }> {
  return { ok: false, problem: { code, detail, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) } }
}

export const notFound = (detail: string): Extract<Outcome<never>, { ok: false }> =>
  refuse('not-found', detail)

export const BAD_CURSOR = refuse(
  'bad-cursor',
  'the cursor is not one of this list; begin again without a cursor',
)
const RETRY_MS = 1_000

/** `detail`: whether something may have been done, and what to do. */
export const storeUnavailable = (detail: string): Extract<Outcome<never>, { ok: false }> =>
  refuse('store-unavailable', detail, RETRY_MS)
