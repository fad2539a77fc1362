import type { App } from '@peerage/protocol'
import { z } from 'zod'
import type { AllowList, Grants } from './grants.js'
import { badToken, refusal, type Refusal } from './refusal.js'

// The claims of a token (RFC 7519 §4), and the claim `peerage` for what else it grants.

/** How far the clocks of the issuer and of a node may differ. */
export const CLOCK_TOLERANCE_MS = 30_000
/** The longest `sub` and `jti`. They become parts of keys in the registry. */
export const CLAIM_LENGTH_MOST = 256
/** The most entries of each list of names, rooms or prefixes. */
const LIST_MOST = 100
/** The longest name in bytes of UTF-8, so no longer entry can match. */
const ENTRY_LENGTH_MOST = 128
const RATE_MOST = 1_000_000_000

/** Lone surrogates are refused, because they all become the same character in UTF-8, so two texts could be confused. */
const wellFormed = (text: string): boolean => /^\P{Cs}*$/u.test(text)
const identifier = z
  .string(`must be a string of 1 to ${CLAIM_LENGTH_MOST} characters`)
  .min(1, 'must not be empty')
  .max(CLAIM_LENGTH_MOST, `must be at most ${CLAIM_LENGTH_MOST} characters`)
  .refine(wellFormed, 'must be well-formed Unicode')

const entries = z
  .array(
    z
      .string('must be a string')
      .max(ENTRY_LENGTH_MOST, `must be at most ${ENTRY_LENGTH_MOST} characters`)
      .refine(wellFormed, 'must be well-formed Unicode'),
    'must be a list',
  )
  .max(LIST_MOST, `must have at most ${LIST_MOST} entries`)
const allowList = z.strictObject(
  { names: entries.exactOptional(), prefixes: entries.exactOptional() },
  objectOf('names and prefixes'),
)

const rate = z
  .int(`must be a whole number from 1 to ${RATE_MOST}`)
  .min(1, 'must be at least 1')
  .max(RATE_MOST, `must be at most ${RATE_MOST}`)
const limits = z.strictObject(
  {
    messagesPerSecond: rate.exactOptional(),
    bytesPerSecond: rate.exactOptional(),
    lookupsPerSecond: rate.exactOptional(),
  },
  objectOf('messagesPerSecond, bytesPerSecond and lookupsPerSecond'),
)
const grantShape = {
  rooms: allowList.exactOptional(),
  to: allowList.exactOptional(),
  limits: limits.exactOptional(),
  discovery: z.boolean('must be true or false').exactOptional(),
}

/** What the answer of an access webhook grants. */
export const grantsSchema = z.strictObject(grantShape, objectOf('rooms, to, limits and discovery'))
/** The claim `peerage`. A misspelled grant must not count as an absent one, which allows everything. So unknown keys are refused. */
export const peerageSchema = z.strictObject(
  { claim: allowList.exactOptional(), ...grantShape },
  objectOf('claim, rooms, to, limits and discovery'),
)
export type PeerageClaim = z.output<typeof peerageSchema>
export { identifier as identitySchema }

/** One text for a wrong type and for unknown keys. It quotes nothing of the input. */
function objectOf(keys: string): string {
  return `must be an object of no other keys than ${keys}`
}

/** Seconds since 1970, with or without a fraction (RFC 7519 §2). */
const numericDate = z.number('must be a number of seconds since 1970')
/** RFC 7638: SHA-256 in base64url. */
const thumbprint = z
  .string('must be a string')
  .regex(/^[\w-]{43}$/, 'must be a SHA-256 thumbprint (RFC 7638)')

const schema = z.object({
  aud: z.union([z.string(), z.array(z.string())], 'must be the app, or a list with the app'),
  iss: z.string('must be a string').exactOptional(),
  sub: identifier,
  exp: numericDate,
  nbf: numericDate.exactOptional(),
  iat: numericDate.exactOptional(),
  jti: identifier.exactOptional(),
  // Another kind of binding is refused, because a node that ignored it would let in whoever has stolen the token.
  cnf: z.strictObject({ jkt: thumbprint }, objectOf('jkt')).exactOptional(),
  peerage: peerageSchema.exactOptional(),
})

/** The claims of a token that is valid now. Times are Unix ms. */
export interface Claims {
  subject: string
  endsAt: number
  issuedAt?: number
  tokenId?: string
  keyThumbprint?: string
  /** The names that the token may claim. Absent: `subject` only. */
  claim?: AllowList
  grants: Grants
}

export interface ClaimRules {
  app: App
  issuer: string | null
  lifetimeMs: number
  /** The time of day (Unix ms). */
  now: number
}

/** Checks the payload of a token with a right signature. */
export function readClaims(payload: Uint8Array, rules: ClaimRules): { ok: true; claims: Claims } | Refusal {
  const parsed = parse(payload)
  if (parsed === undefined) return badToken("the token's payload is not a JSON object")
  const read = schema.safeParse(parsed)
  if (!read.success) return badToken(problemOf(read.error, parsed))
  const claims = read.data
  const refused = refusedAudience(claims, rules) ?? refusedTime(claims, rules)
  return refused ?? { ok: true, claims: claimsOf(claims) }
}

function parse(payload: Uint8Array): object | undefined {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload))
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? parsed : undefined
  } catch {
    return undefined
  }
}

/** The first problem, with the path of the claim. */
function problemOf(error: z.ZodError, input: object): string {
  const [issue] = error.issues
  const [claim = ''] = issue?.path ?? []
  if (issue?.path.length === 1 && !Object.hasOwn(input, claim))
    return `the token has no ${String(claim)}; it needs exp, sub and aud`
  return `the token's ${describeIssue(issue)}`
}

/** Names the key that is wrong, and what it must be. Quotes no value and no unknown key. */
export function describeIssue(issue: z.core.$ZodIssue | undefined): string {
  const path = issue?.path.map(String).join('.') ?? ''
  return `${path === '' ? 'value' : path} ${issue?.message ?? 'is malformed'}`
}

type Read = z.output<typeof schema>

function refusedAudience({ aud, iss }: Read, { app, issuer }: ClaimRules): Refusal | undefined {
  const names = typeof aud === 'string' ? [aud] : aud
  if (!names.includes(app)) return badToken("the token's aud does not contain the app")
  if (issuer !== null && iss !== issuer)
    return badToken(
      iss === undefined
        ? 'the token has no iss, and this app needs one'
        : "the token's iss is not the issuer of this app",
    )
  return undefined
}

function refusedTime({ exp, nbf, iat }: Read, { lifetimeMs, now }: ClaimRules): Refusal | undefined {
  if (exp * 1_000 + CLOCK_TOLERANCE_MS <= now)
    return refusal('token-expired', 'the token has expired; get a new one')
  const latest = now + CLOCK_TOLERANCE_MS
  if (exp * 1_000 > latest + lifetimeMs)
    return badToken(
      `the token's exp is too far ahead: this app takes tokens that end within ${Math.round(lifetimeMs / 1_000)} s`,
    )
  if (nbf !== undefined && nbf * 1_000 > latest) return badToken('the token is not valid yet (nbf)')
  if (iat !== undefined && iat * 1_000 > latest)
    return badToken(
      'the token was issued in the future (iat); compare the clocks of the issuer and of the node',
    )
  return undefined
}

function claimsOf({ sub, exp, iat, jti, cnf, peerage = {} }: Read): Claims {
  const { claim, ...grants } = peerage
  return {
    subject: sub,
    endsAt: Math.floor(exp * 1_000),
    grants,
    ...(iat !== undefined && { issuedAt: Math.floor(iat * 1_000) }),
    ...(jti !== undefined && { tokenId: jti }),
    ...(cnf !== undefined && { keyThumbprint: cnf.jkt }),
    ...(claim !== undefined && { claim }),
  }
}
