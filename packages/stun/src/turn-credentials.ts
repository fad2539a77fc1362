// Time-limited TURN credentials ("A REST API For Access To TURN Services", draft-uberti-behave-turn-rest-00).
import { createHmac, timingSafeEqual } from 'node:crypto'

/** The credentials that a peer gets, with the field names of the draft. */
export interface TurnCredentials {
  /** `<expiry in Unix seconds>:<name>` */
  readonly username: string
  /** base64(HMAC-SHA1(secret, username)) */
  readonly password: string
  /** Seconds. */
  readonly ttl: number
  /** `turn:` and `turns:` URIs (RFC 7065). */
  readonly uris: readonly string[]
}

export interface TurnSecrets {
  /**
   * The first secret makes credentials, and both verify them. To rotate: add the new secret to the TURN server, then
   * put it first here, then remove the old one when the last credentials made with it have expired.
   */
  readonly secrets: readonly [current: string, previous?: string]
}

export interface MintOptions extends TurnSecrets {
  readonly name: string
  /** Whole seconds, at least 1. About 300 is enough to gather candidates; the peer renews them before they expire. */
  readonly ttlSeconds: number
  readonly uris: readonly string[]
  /** Milliseconds since 1970. The clocks of this machine and of the TURN server must agree. */
  readonly nowMs: number
}

/** Makes credentials. Throws RangeError if `ttlSeconds` is not a whole number above 0, or the first secret is empty. */
export function mintTurnCredentials(options: MintOptions): TurnCredentials {
  const { secrets, name, ttlSeconds, uris, nowMs } = options
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1)
    throw new RangeError('ttlSeconds must be a whole number above 0')
  if (secrets[0] === '') throw new RangeError('the first secret must not be empty')
  const username = `${Math.floor(nowMs / 1000) + ttlSeconds}:${name}`
  return { username, password: sign(secrets[0], username).toString('base64'), ttl: ttlSeconds, uris }
}

export type TurnVerdict =
  | { readonly ok: true; readonly name: string; readonly expiresAtSeconds: number }
  | { readonly ok: false; readonly reason: 'malformed' | 'wrong-password' | 'expired' }

export interface VerifyOptions extends TurnSecrets {
  readonly username: string
  readonly password: string
  readonly nowMs: number
}

/** Whether a TURN server would accept these credentials. The password is compared in constant time. */
export function verifyTurnCredentials(options: VerifyOptions): TurnVerdict {
  const { secrets, username, password, nowMs } = options
  const colon = username.indexOf(':')
  const expiry = colon === -1 ? '' : username.slice(0, colon)
  // Up to 15 digits are exact in a double.
  if (!/^\d{1,15}$/.test(expiry)) return { ok: false, reason: 'malformed' }
  const given = Buffer.from(password, 'base64')
  let signed = false
  for (const secret of secrets) {
    if (secret === undefined || secret === '') continue
    const expected = sign(secret, username)
    if (given.length === expected.length && timingSafeEqual(given, expected)) signed = true
  }
  if (!signed) return { ok: false, reason: 'wrong-password' }
  const expiresAtSeconds = Number(expiry)
  if (expiresAtSeconds * 1000 <= nowMs) return { ok: false, reason: 'expired' }
  return { ok: true, name: username.slice(colon + 1), expiresAtSeconds }
}

function sign(secret: string, username: string): Buffer {
  return createHmac('sha1', secret).update(username, 'utf8').digest()
}
