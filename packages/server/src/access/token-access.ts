import type { Clock, OnError } from '@peerage/core'
import { Semaphore } from '@peerage/core'
import type { App } from '@peerage/protocol'
import type { AccessDecision, AdmitRequest } from '../gateway/shared/access.js'
import { CLOCK_TOLERANCE_MS, readClaims, type Claims } from './claims.js'
import { RemoteKeys } from './jwks.js'
import type { KeySource } from './key-source.js'
import { nameOfToken } from './names.js'
import type { Outbound } from './outbound.js'
import { badToken, refusal, type Refusal } from './refusal.js'
import type { AppAccess, TokenSettings } from './app-access.js'
import { readTokenHeader, type TokenHeader } from './token-header.js'
import { readPublicKey, secretKey, type VerificationKey } from './verification-key.js'

/** How many keys are tried for one token, if its `kid` does not tell which one. */
const TRIES_MOST = 16
/** How many signatures of one app are checked at once. The threads that do it are shared by all apps. */
const CHECKS_MOST = 32
/** How many more may wait. Above this, a node cannot keep up, and a peer is told to come back. */
const CHECKS_WAITING_MOST = 4_096
const OVERLOADED_RETRY_MS = 2_000

export interface TokenAccessOptions {
  clock: Clock
  /** Fetches a JWKS. */
  outbound: Outbound
  onError: OnError
}

/**
 * Access by signed tokens: JWTs (RFC 7519, RFC 8725). Throws TypeError for settings that cannot work.
 *
 * @example
 *   const access = tokenAccess(app, settings.token, { clock: systemClock, outbound, onError })
 *   const decision = await access.admit({ app, name, token, wire: 'native', address })
 */
export function tokenAccess(app: App, settings: TokenSettings, options: TokenAccessOptions): AppAccess {
  const { clock, onError } = options
  const source = keySource(app, settings, options)
  const checks = new Semaphore(CHECKS_MOST, CHECKS_WAITING_MOST)

  const claimsOf = async (presented: string | undefined): Promise<{ ok: true; claims: Claims } | Refusal> => {
    const read = readTokenHeader(presented, settings)
    if (!read.ok) return read
    const { token, header } = read
    const found = await source.find(header)
    if (!found.ok) return found
    const checked = await checks.run(() => payloadOf(token, header, found.keys))
    if (checked === undefined)
      return refusal('overloaded', 'too many tokens wait for a check; try again', OVERLOADED_RETRY_MS)
    return checked.ok ? readClaims(checked.payload, { app, ...settings, now: clock.now() }) : checked
  }

  return {
    async admit(request) {
      try {
        const read = await claimsOf(request.token)
        return read.ok ? decide(app, request, read.claims) : read
      } catch (error) {
        // A fault of ours, for example of the cryptography. It must not let anybody in.
        onError(error, { stage: 'access token' })
        return refusal('access-unavailable', 'the token could not be checked; try again')
      }
    },
    stop: () => source.stop(),
  }
}

function decide(app: App, request: AdmitRequest, claims: Claims): AccessDecision {
  const named = nameOfToken(request, claims)
  if (!named.ok) return named
  const { subject, endsAt, issuedAt, tokenId, keyThumbprint, grants } = claims
  return {
    ok: true,
    app,
    identity: subject,
    isOwnName: named.isOwnName,
    endsAt,
    toleranceMs: CLOCK_TOLERANCE_MS,
    ...grants,
    ...(named.name !== undefined && { name: named.name }),
    ...(issuedAt !== undefined && { issuedAt }),
    ...(tokenId !== undefined && { tokenId }),
    ...(keyThumbprint !== undefined && { keyThumbprint }),
  }
}

/** The payload, if one of the keys has signed the token. */
async function payloadOf(
  token: string,
  { algorithm }: TokenHeader,
  keys: readonly VerificationKey[],
): Promise<{ ok: true; payload: Uint8Array } | Refusal> {
  // Only nodes that check tokens load it.
  const { compactVerify, errors } = await import('jose')
  for (const key of keys.slice(0, TRIES_MOST)) {
    const imported = await key.imported(algorithm)
    if (imported === undefined) continue
    try {
      const { payload } = await compactVerify(token, imported, { algorithms: [algorithm] })
      return { ok: true, payload }
    } catch (error) {
      // Not signed by this key. Anything else is a fault.
      if (!(error instanceof errors.JOSEError)) throw error
    }
  }
  return badToken("the token's signature is wrong: no key of this app has made it")
}

function keySource(app: App, { keys, algorithms }: TokenSettings, options: TokenAccessOptions): KeySource {
  switch (keys.type) {
    case 'secret':
      return fixedKeys(
        [keys.secret, ...(keys.previousSecret === null ? [] : [keys.previousSecret])].map(secretKey),
      )
    case 'public-key': {
      const read = readPublicKey(keys.pem, algorithms)
      if (read.ok) return fixedKeys([read.key])
      throw new TypeError(`access.token.publicKey ${read.problem}`)
    }
    case 'jwks':
      return new RemoteKeys({ ...options, app, url: keys.url, allowPrivate: keys.allowPrivate })
  }
}

/** Keys of the configuration have no ids, so the `kid` of a token does not matter. */
function fixedKeys(keys: readonly VerificationKey[]): KeySource {
  return {
    find: ({ algorithm }) =>
      Promise.resolve({ ok: true, keys: keys.filter((key) => key.algorithms.includes(algorithm)) }),
    stop: () => {},
  }
}
