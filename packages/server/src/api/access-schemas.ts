import { chosenCode, closeCodes, limits as wire } from '@peerage/protocol'
import { z } from 'zod'
import { identitySchema, peerageSchema } from '../access/claims.js'
import { BAN_KINDS } from '../access/revocations.js'

// The shapes of disconnects, bans, tokens and revocations.

/** A year: whoever must stay out longer is banned again. */
export const BAN_MOST_MS = 366 * 24 * 3_600_000

export const time = (about: string) =>
  z.int().min(0).max(Number.MAX_SAFE_INTEGER).describe(`${about}, in Unix milliseconds`)

export const identity = identitySchema.describe(
  'The identity of a peer: the `sub` of its access token, or what the access rules say.',
)
const tokenId = identitySchema.describe('The `jti` of an access token.')

export const closing = {
  code: z
    .int()
    .refine((code) => code === closeCodes.disconnected || chosenCode(code) !== undefined, {
      message: 'must be 4400 to 4499 (the SDK connects again), 4900 to 4999 (it does not), or 4505',
    })
    .default(4505)
    .describe(
      'The close code. After 4400 to 4499 the SDK connects again; after 4505 and 4900 to 4999 it does not.',
    )
    .meta({
      schema: {
        anyOf: [
          { const: 4505 },
          { type: 'integer', minimum: 4400, maximum: 4499 },
          { type: 'integer', minimum: 4900, maximum: 4999 },
        ],
        default: 4505,
      },
    }),
  reason: z
    .string()
    .min(1)
    .max(wire.closeTextLength)
    .refine((text) => Buffer.byteLength(text) <= wire.closeTextLength, {
      message: `must be at most ${wire.closeTextLength} bytes of UTF-8`,
    })
    .optional()
    .describe('A text for the application of the peer: at most 123 bytes of UTF-8.'),
  banMs: z
    .int()
    .min(1)
    .max(BAN_MOST_MS)
    .optional()
    .describe(
      'For how long nobody may claim this name, or no peer with this identity may come in. Absent: no ban.',
    ),
}

export const closed = z
  .object({
    closed: z
      .int()
      .min(0)
      .nullable()
      .describe(
        'How many peers it was: connections that were closed, and a name that was away and is free now. Null: not known, because other nodes close them, or the store does not say who holds the name.',
      ),
    until: time('When the ban ends').exactOptional(),
  })
  .meta({ id: 'Disconnected' })

export const banKind = z
  .enum(BAN_KINDS)
  .describe(
    '`name`: nobody may claim it. `identity`: no peer with it may come in. `token`: one token is void. `tokens`: the tokens of a `sub` that were issued before a time are void.',
  )
export const ban = z
  .object({
    kind: banKind,
    value: z.string().describe('The name, the identity, the `jti` of the token, or the `sub` of the tokens.'),
    until: time('When the ban ends'),
    before: time('Only tokens that were issued before this time are refused').exactOptional(),
  })
  .meta({ id: 'Ban' })

export const grants = peerageSchema.meta({ id: 'Grants' })

/** In seconds, a time of today is a smaller number. So a claim such as `iat`, passed as it is, is found out. */
const MILLISECONDS_LEAST = 100_000_000_000
const milliseconds = z
  .int('must be a time in Unix milliseconds')
  .min(MILLISECONDS_LEAST, 'must be a time in Unix milliseconds; the claims of a token are in seconds')
  .max(Number.MAX_SAFE_INTEGER, 'must be a time in Unix milliseconds')

/** One token, or the tokens of a `sub`. JSON Schema says this with `oneOf`. */
export const revocation = z
  .strictObject({
    jti: tokenId.optional(),
    sub: identity.optional().describe('All tokens with this `sub` that were issued before `before`.'),
    before: milliseconds
      .optional()
      .describe(
        'With `sub`: tokens that were issued before this time are void, in Unix milliseconds. Default: now.',
      ),
    expiresAt: milliseconds
      .optional()
      .describe(
        'When the last of these tokens ends, in Unix milliseconds. Give it for tokens that end further ahead than `access.token.lifetimeMs`, so that the revocation lasts as long as they do. It only makes a revocation longer.',
      ),
  })
  .meta({
    id: 'Revoke',
    schema: { oneOf: [{ required: ['jti'], not: { required: ['before'] } }, { required: ['sub'] }] },
  })
  .transform(({ jti, sub, before, expiresAt }, context) => {
    if (jti !== undefined && sub === undefined && before === undefined)
      return { kind: 'token' as const, value: jti, expiresAt }
    if (jti === undefined && sub !== undefined)
      return { kind: 'tokens' as const, value: sub, before, expiresAt }
    const isBefore = jti !== undefined && sub === undefined
    context.addIssue(
      isBefore
        ? { code: 'custom', path: ['before'], message: 'goes with sub only' }
        : { code: 'custom', message: 'must have either jti (one token) or sub (the tokens of an identity)' },
    )
    return z.NEVER
  })
