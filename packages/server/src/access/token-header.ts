import { limits } from '@peerage/protocol'
import { z } from 'zod'
import { badToken, type Refusal } from './refusal.js'
import { ALGORITHMS, type Algorithm, type TokenSettings } from './app-access.js'
import { KID_LENGTH_MOST } from './verification-key.js'

/** The longest token, also on the PeerJS wire. A longer one is refused before anything of it is decoded. */
export const TOKEN_LENGTH_MOST = limits.tokenLength
/** A JWS in compact form (RFC 7515 §3.1). The base64 decoder of jose passes over spaces on Node 20, so they are refused here. */
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]*$/

export interface TokenHeader {
  algorithm: Algorithm
  kid: string | undefined
}

// `jku`, `x5u`, `jwk` and `x5c` are not even read: keys come from the configuration only.
const schema = z.object({
  alg: z.string(),
  kid: z.string().optional(),
  typ: z.string().optional(),
  crit: z.unknown().optional(),
})

/** Reads the header of a token, and refuses what the app does not take. */
export function readTokenHeader(
  token: string | undefined,
  { algorithms: taken, typ }: Pick<TokenSettings, 'algorithms' | 'typ'>,
): { ok: true; token: string; header: TokenHeader } | Refusal {
  if (token === undefined || token === '') return badToken('there is no token, and this app needs one')
  if (token.length > TOKEN_LENGTH_MOST)
    return badToken(`the token is longer than ${TOKEN_LENGTH_MOST} characters`)
  if (!COMPACT.test(token))
    return badToken('the token is not a JWT: three parts of base64url with dots between them')
  const header = decode(token)
  if (header === undefined)
    return badToken("the token's header is not a JSON object whose alg, kid and typ are texts")
  const { alg, kid, crit } = header
  const algorithm = ALGORITHMS.find((known) => known === alg)
  if (algorithm === undefined || !taken.includes(algorithm)) return badToken(refusedAlgorithm(alg, taken))
  if (crit !== undefined) return badToken("the token's header has crit, and no extension is known here")
  if (typ !== null && !isSameType(header.typ, typ))
    return badToken(`the token's header must have the typ ${typ}: it may be a token for something else`)
  if (kid !== undefined && kid.length > KID_LENGTH_MOST)
    return badToken(`the token's kid is longer than ${KID_LENGTH_MOST} characters`)
  return { ok: true, token, header: { algorithm, kid } }
}

function decode(token: string): z.output<typeof schema> | undefined {
  try {
    const bytes = Buffer.from(token.split('.', 1)[0] ?? '', 'base64url')
    const read = schema.safeParse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
    return read.success ? read.data : undefined
  } catch {
    // The header is no UTF-8 or no JSON.
    return undefined
  }
}

/** RFC 7515 §4.1.9: media types, in any case, and `application/` may be left out. */
function isSameType(given: string | undefined, wanted: string): boolean {
  const whole = (type: string): string => (type.includes('/') ? type : `application/${type}`).toLowerCase()
  return given !== undefined && whole(given) === whole(wanted)
}

/** `HS256` and the like are named. Anything else could be any text, so it is not. */
function refusedAlgorithm(alg: string, taken: readonly Algorithm[]): string {
  const takes = `this app takes ${taken.join(', ')}`
  if (alg.toLowerCase() === 'none') return `the token is not signed (alg none), and ${takes}`
  if (/^(?:HS|RS|PS|ES)(?:256|384|512)$|^EdDSA$|^Ed25519$/.test(alg))
    return `the token is signed with ${alg}, and ${takes}`
  return `the token is signed with an unknown algorithm, and ${takes}`
}
