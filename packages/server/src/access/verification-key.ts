import { createPublicKey, webcrypto, type KeyObject } from 'node:crypto'
import { z } from 'zod'
import type { Algorithm } from './app-access.js'

type CryptoKey = webcrypto.CryptoKey

/** The sizes of RSA keys that are used (RFC 7518 §3.3). A larger key would cost too much time for each token. */
export const RSA_BITS_LEAST = 2_048
export const RSA_BITS_MOST = 8_192
/** OpenSSL takes any public exponent for keys of up to 3,072 bits, and the time of a check grows with its length. */
const EXPONENT_BYTES_MOST = 4
/** The longest `kid` of a key and of a token. */
export const KID_LENGTH_MOST = 256

/** A key that checks signatures: a secret of HS256, or a public key. */
export interface VerificationKey {
  /** Undefined: the key has no id. */
  readonly kid: string | undefined
  /** The algorithms that the key may be used for. */
  readonly algorithms: readonly Algorithm[]
  /** Resolves with undefined if the key is broken, such as a point that is not on its curve. */
  imported(algorithm: Algorithm): Promise<CryptoKey | undefined>
}

export function secretKey(secret: string): VerificationKey {
  return keyOf(undefined, ['HS256'], () =>
    webcrypto.subtle.importKey('raw', Buffer.from(secret), { name: 'HMAC', hash: 'SHA-256' }, false, [
      'verify',
    ]),
  )
}

/** A key that is imported once for each algorithm. */
function keyOf(
  kid: string | undefined,
  fitting: readonly Algorithm[],
  load: (algorithm: Algorithm) => Promise<CryptoKey | Uint8Array>,
): VerificationKey {
  const imports = new Map<Algorithm, Promise<CryptoKey | undefined>>()
  const importAs = async (algorithm: Algorithm): Promise<CryptoKey | undefined> => {
    try {
      const key = await load(algorithm)
      return key instanceof Uint8Array ? undefined : key
    } catch {
      // The members of the key do not make a key. Other keys are tried.
      return undefined
    }
  }
  return {
    kid,
    algorithms: fitting,
    imported(algorithm) {
      const former = imports.get(algorithm)
      if (former !== undefined) return former
      const imported = importAs(algorithm)
      imports.set(algorithm, imported)
      return imported
    },
  }
}

const base64url = (most: number) =>
  z
    .string()
    .max(most)
    .regex(/^[\w-]+$/)
const common = {
  kid: z.string().max(KID_LENGTH_MOST).optional(),
  alg: z.string().optional(),
  use: z.literal('sig').optional(),
  key_ops: z.array(z.string()).optional(),
  // A key with its private part is not used: whoever can read the set could sign.
  d: z.undefined().optional(),
}
/** RFC 7518 §6, RFC 8037 §2. */
const jwkSchema = z.discriminatedUnion('kty', [
  z.object({
    kty: z.literal('RSA'),
    n: base64url(RSA_BITS_MOST / 4),
    e: base64url(2 * EXPONENT_BYTES_MOST),
    ...common,
  }),
  z.object({ kty: z.literal('EC'), crv: z.literal('P-256'), x: base64url(64), y: base64url(64), ...common }),
  z.object({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: base64url(64), ...common }),
])
type Jwk = z.output<typeof jwkSchema>

/** Reads a public JSON Web Key. Undefined if it cannot check signatures of an algorithm that we know. */
export function readJwk(input: unknown): VerificationKey | undefined {
  const read = jwkSchema.safeParse(input)
  if (!read.success) return undefined
  const jwk = read.data
  const { kid, alg, key_ops: operations } = jwk
  if (operations !== undefined && !operations.includes('verify')) return undefined
  const fitting = algorithmsOf(jwk).filter((algorithm) => alg === undefined || alg === algorithm)
  if (fitting.length === 0) return undefined
  const members = publicMembers(jwk)
  return keyOf(kid, fitting, async (algorithm) => {
    const { importJWK } = await import('jose')
    return importJWK(members, algorithm)
  })
}

function algorithmsOf(jwk: Jwk): readonly Algorithm[] {
  switch (jwk.kty) {
    case 'RSA':
      return isUsableRsa(jwk) ? ['RS256', 'PS256'] : []
    case 'EC':
      return ['ES256']
    case 'OKP':
      return ['EdDSA']
  }
}

function isUsableRsa({ n, e }: { n: string; e: string }): boolean {
  const bits = bitsOf(n)
  const exponent = Buffer.from(e, 'base64url')
  const isOdd = ((exponent.at(-1) ?? 0) & 1) === 1
  return (
    bits >= RSA_BITS_LEAST &&
    bits <= RSA_BITS_MOST &&
    exponent.length <= EXPONENT_BYTES_MOST &&
    isOdd &&
    bitsOf(e) > 1
  )
}

/** The number of bits of a positive number in base64url. */
function bitsOf(text: string): number {
  const bytes = Buffer.from(text, 'base64url')
  const first = bytes.findIndex((byte) => byte !== 0)
  if (first < 0) return 0
  return (bytes.length - first) * 8 - (Math.clz32(bytes[first] ?? 0) - 24)
}

/** Only the members that make the key. So nothing else of a foreign document reaches the import. */
function publicMembers(jwk: Jwk): { kty: string } & Record<string, string> {
  switch (jwk.kty) {
    case 'RSA':
      return { kty: jwk.kty, n: jwk.n, e: jwk.e }
    case 'EC':
      return { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y }
    case 'OKP':
      return { kty: jwk.kty, crv: jwk.crv, x: jwk.x }
  }
}

export type PublicKeyRead = { ok: true; key: VerificationKey } | { ok: false; problem: string }

/** Reads the PEM text of a public key or of a certificate, for the algorithms of an app. */
export function readPublicKey(pem: string, wanted: readonly Algorithm[]): PublicKeyRead {
  if (pem.includes('PRIVATE KEY-----'))
    return { ok: false, problem: 'must be a public key: a node must not have the private key of the issuer' }
  const key = readJwk(jwkOfPem(pem))
  if (key === undefined)
    return {
      ok: false,
      problem: `must be PEM text of a public key or a certificate: RSA of ${RSA_BITS_LEAST} to ${RSA_BITS_MOST} bits, EC P-256 or Ed25519`,
    }
  const unfit = wanted.find((algorithm) => !key.algorithms.includes(algorithm))
  if (unfit === undefined) return { ok: true, key }
  return {
    ok: false,
    problem: `is a key for ${key.algorithms.join(' and ')}, and token.algorithms has ${unfit}`,
  }
}

/** Undefined if there is no such key. */
function jwkOfPem(pem: string): unknown {
  let key: KeyObject
  try {
    key = createPublicKey(pem)
    return key.export({ format: 'jwk' })
  } catch {
    return undefined
  }
}
