/** The problems that the API answers with, by their codes. Codes are stable. */
const problems = {
  'bad-request': { status: 400, title: 'The request is not valid' },
  'bad-cursor': { status: 400, title: 'The cursor does not belong to this list' },
  unauthorized: { status: 401, title: 'The API key is missing or wrong' },
  'not-found': { status: 404, title: 'There is nothing here' },
  'method-not-allowed': { status: 405, title: 'This path has no such method' },
  'request-timeout': { status: 408, title: 'The body took too long to arrive' },
  incompatible: { status: 409, title: 'The peer cannot read messages of the API' },
  'in-progress': { status: 409, title: 'A request with this Idempotency-Key is under way' },
  'no-signing-key': { status: 409, title: 'This app has no secret to sign tokens with' },
  'too-many': { status: 409, title: 'More than the limit allows' },
  'too-large': { status: 413, title: 'The request is too large' },
  'unsupported-media-type': { status: 415, title: 'The body must be JSON' },
  'idempotency-mismatch': { status: 422, title: 'Another request used this Idempotency-Key' },
  'rate-limited': { status: 429, title: 'Too many requests' },
  internal: { status: 500, title: 'The node failed' },
  draining: { status: 503, title: 'This node is shutting down' },
  'store-unavailable': { status: 503, title: 'The store cannot be reached' },
} as const satisfies Record<string, { status: number; title: string }>

export type ProblemCode = keyof typeof problems

/** One wrong value of a request. */
export interface FieldError {
  /** Where the value is, such as `body.to[3]` or `query.limit`. */
  at: string
  /** What is wrong with it. */
  detail: string
}

/** Why a request was not carried out (RFC 9457). */
export interface Problem {
  code: ProblemCode
  /** What was wrong and what to do, for the developer who sent the request. */
  detail: string
  errors?: readonly FieldError[]
  /** How long to wait before another attempt, in milliseconds. */
  retryAfterMs?: number
  /** The methods of a path, with `method-not-allowed`. */
  allow?: readonly string[]
}

export const problemCodes = Object.keys(problems).filter(isProblemCode)

function isProblemCode(text: string): text is ProblemCode {
  return Object.hasOwn(problems, text)
}

export function statusOf(code: ProblemCode): number {
  return problems[code].status
}

export function titleOf(code: ProblemCode): string {
  return problems[code].title
}

/** The body of an answer with the media type `application/problem+json`. */
export function bodyOf({ code, detail, errors }: Problem): Record<string, unknown> {
  const { status, title } = problems[code]
  return {
    type: `urn:peerage:problem:${code}`,
    title,
    status,
    code,
    detail,
    ...(errors === undefined ? {} : { errors }),
  }
}
