import { parseName, type Name } from '@peerage/protocol'
import type { AdmitRequest } from '../gateway/shared/access.js'
import type { Claims } from './claims.js'
import { allows } from './grants.js'
import { badToken, refusal, type Refusal } from './refusal.js'

/** The name that a token gives a peer. `name` is absent if the peer already asks for the right one, or for none. */
export type NameOfToken = { ok: true; name?: Name; isOwnName: boolean } | Refusal

/** Decides which name a peer with a valid token gets. */
export function nameOfToken({ name, isNameMade = false }: AdmitRequest, claims: Claims): NameOfToken {
  if (name === undefined) return { ok: true, isOwnName: false }
  if (isNameMade) return nameFor(name, claims)
  const { subject, claim } = claims
  const isOwn = claim === undefined && name === subject
  if (isOwn || (claim !== undefined && allows(claim, name))) return { ok: true, isOwnName: isOwn }
  return refusal('forbidden', 'the token does not allow this name')
}

/** The name for a peer that asked for none. `made` is the name that the node made, which nobody can guess. */
function nameFor(made: Name, { subject, claim }: Claims): NameOfToken {
  const own = parseName(subject)
  if (claim === undefined) {
    if (own.ok) return { ok: true, name: own.value, isOwnName: true }
    return badToken(`the token's sub is no name, and the token has no peerage.claim: ${own.problem}`)
  }
  if (own.ok && allows(claim, own.value)) return { ok: true, name: own.value, isOwnName: false }
  const { names = [], prefixes = [] } = claim
  const [prefix] = prefixes
  const only = names.length === 1 ? names[0] : undefined
  const wanted = prefix === undefined ? only : `${prefix}${made}`
  if (wanted === undefined)
    return refusal(
      'forbidden',
      'the token does not say which name to take: ask for one that peerage.claim allows',
    )
  const parsed = parseName(wanted)
  if (parsed.ok) return { ok: true, name: parsed.value, isOwnName: false }
  return badToken(`the token's peerage.claim leads to no name: ${parsed.problem}`)
}
