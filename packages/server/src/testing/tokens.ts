import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { App } from '@peerage/protocol'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { SignJWT, type JWTPayload } from 'jose'
import type { Algorithm, AppAccess, TokenKeys, TokenSettings } from '../access/app-access.js'
import { createOutbound } from '../access/outbound.js'
import { tokenAccess } from '../access/token-access.js'
import type { AdmitRequest } from '../gateway/shared/access.js'

// Tokens, and the rules of an app that takes them, for tests.

export const chat = 'chat' as App
export const SECRET = 'a secret of at least thirty-two bytes'

type Pair = { publicKey: KeyObject; privateKey: KeyObject }

/** A pair of keys for each algorithm but HS256. They are made once, because RSA takes time. */
export const pairs: Readonly<Record<'RS256' | 'PS256' | 'ES256' | 'EdDSA', Pair>> = (() => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 })
  return {
    RS256: rsa,
    PS256: rsa,
    ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    EdDSA: generateKeyPairSync('ed25519'),
  }
})()

export const pemOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString()

export const signingKey = (algorithm: Algorithm): KeyObject | Uint8Array =>
  algorithm === 'HS256' ? Buffer.from(SECRET) : pairs[algorithm].privateKey

export const keysFor = (algorithm: Algorithm): TokenKeys =>
  algorithm === 'HS256'
    ? { type: 'secret', secret: SECRET, previousSecret: null }
    : { type: 'public-key', pem: pemOf(pairs[algorithm].publicKey) }

/** The claims of a token of alice for the app `chat`, valid for half an hour from `now` (Unix ms). */
export const claimsOfAlice = (now: number): JWTPayload => ({
  sub: 'alice',
  aud: 'chat',
  exp: now / 1_000 + 1_800,
})

export function sign(
  claims: JWTPayload,
  { algorithm = 'HS256', key = signingKey(algorithm), header = {} }: SignOptions = {},
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: algorithm, ...header }).sign(key)
}

interface SignOptions {
  algorithm?: Algorithm
  key?: KeyObject | Uint8Array
  header?: Record<string, unknown>
}

export interface TokenTest {
  access: AppAccess
  clock: FakeClock
  errors: string[]
  /** Admits a peer that asks for a name with a token. */
  admit: (token: string | undefined, more?: Partial<AdmitRequest>) => ReturnType<AppAccess['admit']>
}

const HERE = [{ address: '127.0.0.1', family: 4 as const }]

/** The rules of the app `chat` on a fake clock. Every host name leads to 127.0.0.1. */
export function tokenTest(settings: Partial<TokenSettings> = {}): TokenTest {
  const clock = new FakeClock()
  const errors: string[] = []
  const onError = (error: unknown): void => void errors.push(String(error))
  const whole: TokenSettings = {
    algorithms: ['HS256'],
    keys: keysFor('HS256'),
    typ: null,
    issuer: null,
    lifetimeMs: 3_600_000,
    ...settings,
  }
  const outbound = createOutbound({ clock, lookup: () => Promise.resolve(HERE) })
  const access = tokenAccess(chat, whole, { clock, outbound, onError })
  return {
    access,
    clock,
    errors,
    admit: (token, more) => access.admit(asked({ ...(token !== undefined && { token }), ...more })),
  }
}

/** A request of a peer that asks for the name `alice`. */
export function asked(more: Partial<AdmitRequest> = {}): AdmitRequest {
  return {
    app: chat,
    name: 'alice' as NonNullable<AdmitRequest['name']>,
    isNameMade: false,
    wire: 'native',
    address: '192.0.2.1',
    ...more,
  }
}
