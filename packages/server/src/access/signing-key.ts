import { createPrivateKey, randomUUID, type JsonWebKey } from 'node:crypto'
import type { CryptoKey } from 'jose'
import { z } from 'zod'
import { reasonOf } from '../lib/reason.js'
import type { Algorithm } from './app-access.js'
import type { PeerageClaim } from './claims.js'
import { readJwk } from './verification-key.js'

/** A key that signs tokens. */
export interface SigningKey {
  algorithm: Algorithm
  key: CryptoKey | Uint8Array
  /** Goes into the header, for nodes that get the public key from a JWKS. */
  kid?: string
}

export const signingSecret = (secret: string): SigningKey => ({
  algorithm: 'HS256',
  key: Buffer.from(secret),
})

export type SigningKeyRead = { ok: true; key: SigningKey } | { ok: false; problem: string }

/**
 * Reads a private key: PEM text, or a JSON Web Key. `wanted` is the algorithm; by default the first one that the key can
 * be used for.
 */
export async function readSigningKey(text: string, wanted?: Algorithm): Promise<SigningKeyRead> {
  const read = text.trimStart().startsWith('{') ? jwkOfJson(text) : jwkOfPem(text)
  if (!read.ok) return read
  const { jwk } = read
  if (typeof jwk.d !== 'string') return { ok: false, problem: 'has no private key; a public key cannot sign' }
  const { d: _, ...open } = jwk
  const [usual, ...others] = readJwk(open)?.algorithms ?? []
  if (usual === undefined)
    return { ok: false, problem: 'is none of RSA of 2048 to 8192 bits, EC P-256 and Ed25519' }
  const algorithm = wanted ?? usual
  if (algorithm !== usual && !others.includes(algorithm))
    return {
      ok: false,
      problem: `cannot sign with ${algorithm}; it is for ${[usual, ...others].join(' and ')}`,
    }
  const { kid, alg: _alg, use: _use, ...members } = jwk
  const { importJWK } = await import('jose')
  const key = await importJWK(members, algorithm)
  return { ok: true, key: { algorithm, key, ...(kid !== undefined && { kid }) } }
}

const member = z.string().exactOptional()
const privateJwk = z.object({
  kty: z.string(),
  n: member,
  e: member,
  d: member,
  p: member,
  q: member,
  dp: member,
  dq: member,
  qi: member,
  crv: member,
  x: member,
  y: member,
  kid: member,
  alg: member,
  use: member,
})
type PrivateJwk = z.output<typeof privateJwk>
type JwkRead = { ok: true; jwk: PrivateJwk } | { ok: false; problem: string }

function jwkOfJson(text: string): JwkRead {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return { ok: false, problem: 'is neither PEM text nor JSON' }
  }
  return jwkOf(parsed)
}

function jwkOfPem(text: string): JwkRead {
  let exported: JsonWebKey
  try {
    exported = createPrivateKey(text).export({ format: 'jwk' })
  } catch (error) {
    return { ok: false, problem: `is not PEM text of a private key without a password: ${reasonOf(error)}` }
  }
  return jwkOf(exported)
}

function jwkOf(input: unknown): JwkRead {
  const read = privateJwk.safeParse(input)
  return read.success ? { ok: true, jwk: read.data } : { ok: false, problem: 'is not a JSON Web Key' }
}

export interface TokenToMint {
  app: string
  subject: string
  /** How long it is valid, in milliseconds. */
  ttlMs: number
  peerage?: PeerageClaim
  issuer?: string
  /** The `typ` of the header. */
  typ?: string
  /** Default: a random one. */
  tokenId?: string
}

export interface Minted {
  token: string
  tokenId: string
  /** Unix ms. */
  endsAt: number
}

/**
 * Makes a token for one app. `now` is the time of day (Unix ms).
 *
 * @example
 *   const { token } = await mintToken(signingSecret(secret), { app: 'chat', subject: 'alice', ttlMs: 3_600_000 }, Date.now())
 */
export async function mintToken(signing: SigningKey, wanted: TokenToMint, now: number): Promise<Minted> {
  const { app, subject, ttlMs, peerage, issuer, typ = 'JWT', tokenId = randomUUID() } = wanted
  const { algorithm, key, kid } = signing
  const endsAt = Math.floor((now + ttlMs) / 1_000) * 1_000
  const claims = {
    aud: app,
    sub: subject,
    // With milliseconds, so that a token made just after `tokens` of its `sub` were revoked is valid.
    iat: now / 1_000,
    exp: endsAt / 1_000,
    jti: tokenId,
    ...(issuer !== undefined && { iss: issuer }),
    ...(peerage !== undefined && { peerage }),
  }
  const { SignJWT } = await import('jose')
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: algorithm, typ, ...(kid !== undefined && { kid }) })
    .sign(key)
  return { token, tokenId, endsAt }
}
