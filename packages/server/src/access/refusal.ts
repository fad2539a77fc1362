import type { ErrorCode } from '@peerage/protocol'
import type { AccessDecision } from '../gateway/shared/access.js'

/** A refusal by access rules. */
export type Refusal = Extract<AccessDecision, { ok: false }>

export function refusal(code: ErrorCode, detail: string, retryAfterMs?: number): Refusal {
  return retryAfterMs === undefined ? { ok: false, code, detail } : { ok: false, code, detail, retryAfterMs }
}

export const badToken = (detail: string): Refusal => refusal('bad-token', detail)
