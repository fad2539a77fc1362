// What PeerJS clients present to the access rules [PJ11]. They have no field of their own for an access token, so it comes
// in `token`, in `token` before a `~`, or in `key`.

import { createHash, randomBytes } from 'node:crypto'
import type { App } from '@peerage/protocol'
import { limits as wireLimits, parseApp, temporary } from '@peerage/protocol'
import type { AppPolicies, KeyMeaning } from '../../apps/policy.js'
import { PUBLIC_KEY } from '../../apps/policy.js'
import type { AccessDecision, AdmitRequest, Allowed, CheckedAccess } from '../shared/access.js'
import type { Decision } from '../shared/claimer.js'
import type { Credentials } from './wire.js'
import { refusals } from './wire.js'

/** Separates an access token from the peer's own secret in PeerJS's single `token` field. Our own tokens never have it. */
const TOKEN_DIVIDER = '~'
/** A signed token in its compact form (RFC 7515 §3.1). The group is its payload. */
const JWT_PATTERN = /^[\w-]+\.([\w-]+)\.[\w-]+$/
/** The beginning of secrets that the node derives. No peer can present one: its token may not begin like this. */
const DERIVED = '\0own '

/** The app that a peer asks for: that of its key, or if its key is an access token, the one that the token is for. */
export function appAsked(apps: AppPolicies, meaning: KeyMeaning, key: string): App | undefined {
  return meaning.ok ? meaning.app : audienceOf(apps, key)
}

/**
 * Asks the access rules whether a peer may come in, and decides which secret takes its name back. The rules first see
 * PeerJS's `token` field (up to a `~`, if there is one). If they refuse it, they see the `key` field.
 */
export async function admitPeerJs(
  access: CheckedAccess,
  asked: AdmitRequest,
  { token, key }: Credentials,
  meaning: KeyMeaning,
): Promise<Decision> {
  const divider = token.indexOf(TOKEN_DIVIDER)
  const presented = divider < 0 ? token : token.slice(0, divider)
  const ask = (proof: string): Promise<AccessDecision> => access.admit({ ...asked, token: proof })
  const byToken = meaning.ok ? await ask(presented) : undefined
  if (byToken?.ok === true) return { admitted: byToken, secret: secretOf(byToken, token, divider) }
  // A key that everybody knows proves nothing. If the rules could not be asked, asking them again will not help.
  const isPassing = byToken !== undefined && temporary[byToken.code]
  const isKeyProof = !(meaning.ok && key === PUBLIC_KEY) && !isPassing
  const byKey = isKeyProof ? await ask(key) : undefined
  if (byKey?.ok === true && byKey.identity !== undefined) return { admitted: byKey, secret: token }
  const words = meaning.ok ? refusals.token : refusals.key
  const isKeyToken = JWT_PATTERN.test(key)
  const refused = byToken === undefined || isKeyToken ? (byKey ?? byToken) : byToken
  if (refused === undefined || refused.ok) return { admitted: forbidden(words), secret: token }
  return { admitted: inWordsOfPeer(refused, words, isKeyToken ? key : presented), secret: token }
}

const forbidden = (detail: string): AccessDecision => ({ ok: false, code: 'forbidden', detail })

/**
 * A refusal begins with the words of `peer`, the PeerJS server. What a token lacks follows. For a shared key that is wrong
 * there is nothing to add.
 */
function inWordsOfPeer(
  refused: Extract<AccessDecision, { ok: false }>,
  words: string,
  presented: string,
): AccessDecision {
  switch (refused.code) {
    case 'bad-token':
    case 'token-expired':
    case 'banned':
      return { ...refused, detail: `${words}: ${refused.detail}` }
    case 'forbidden':
      return { ...refused, detail: JWT_PATTERN.test(presented) ? `${words}: ${refused.detail}` : words }
    default:
      return refused
  }
}

/**
 * The secret that takes a name back. What many peers know may not be one [I9]. After a `~` a peer has a secret of its own,
 * which counts together with its identity, so that it is the same with the next access token. A token that is for exactly
 * this name proves enough by itself.
 */
function secretOf({ app, identity, isOwnName }: Allowed, token: string, divider: number): string {
  if (identity === undefined) return token
  const own = divider < 0 ? '' : token.slice(divider + 1)
  if (own === '' && isOwnName !== true) return randomBytes(16).toString('base64url')
  const who = createHash('sha256').update(`${app}/${identity}`).digest('base64url')
  return `${DERIVED}${who} ${own}`
}

/**
 * The app that the access token in `key` is for, as the token itself says (`aud`, RFC 7519 §4.1.3). The access rules of
 * that app then check the token.
 */
function audienceOf(apps: AppPolicies, key: string): App | undefined {
  const [, payload] = (key.length <= wireLimits.tokenLength && JWT_PATTERN.exec(key)) || []
  if (payload === undefined) return undefined
  const claims = readJson(Buffer.from(payload, 'base64url').toString())
  const aud = typeof claims === 'object' && claims !== null && 'aud' in claims ? claims.aud : undefined
  for (const text of Array.isArray(aud) ? aud.slice(0, MAX_AUDIENCES) : [aud]) {
    const app = typeof text === 'string' ? parseApp(text) : undefined
    if (app?.ok && apps.of(app.value) !== undefined) return app.value
  }
  return undefined
}

/** How many audiences of a token are looked up. */
const MAX_AUDIENCES = 16

function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
