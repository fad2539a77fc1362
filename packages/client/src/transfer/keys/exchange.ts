import type { Bytes, Random } from './bytes.js'
import { concat } from './bytes.js'
import type { HandshakeKind } from './handshake.js'
import { NONCE_BYTES } from './messages.js'
import type { Agreed, Transcript } from './schedule.js'
import { POINT_BYTES, publicPoint, randomScalar, sharedX, spakeKeys, spakeMessage } from './spake2.js'

// What differs between the kinds of a handshake: what each side sends first (its share), and what they agree on.

/** One side of an exchange. */
export interface Exchange {
  /** A point, or a nonce for the kind `session`. */
  readonly share: Bytes
  /** Undefined: the share of the other side is no valid point. */
  agree(theirs: Bytes, transcript: Transcript): Agreed | undefined
}

export type ExchangeSecret =
  | { kind: 'link'; linkSecret: Bytes }
  | { kind: 'link+password'; linkSecret: Bytes; w: bigint }
  | { kind: 'code'; w: bigint }
  | { kind: 'session'; sessionKey: Bytes }

export function shareBytes(kind: HandshakeKind): number {
  return kind === 'session' ? NONCE_BYTES : POINT_BYTES
}

export function openExchange(secret: ExchangeSecret, role: 'guest' | 'host', random: Random): Exchange {
  switch (secret.kind) {
    case 'link':
      return openDiffieHellman(secret.linkSecret, random)
    case 'link+password':
      return openSpake(secret.w, secret.linkSecret, role, random)
    case 'code':
      return openSpake(secret.w, new Uint8Array(), role, random)
    case 'session':
      return { share: random(NONCE_BYTES), agree: () => ({ secret: secret.sessionKey }) }
  }
}

/** With the secret of the link, so that a node that records everything cannot read it later if the link leaks. */
function openDiffieHellman(linkSecret: Bytes, random: Random): Exchange {
  const scalar = randomScalar(random)
  return {
    share: publicPoint(scalar),
    agree(theirs) {
      const x = sharedX(scalar, theirs)
      return x && { secret: concat(x, linkSecret) }
    },
  }
}

/** The guest is A of RFC 9382, because it sends first. The transcript is the `AAD`, so the confirmations prove it. */
function openSpake(w: bigint, linkSecret: Bytes, role: 'guest' | 'host', random: Random): Exchange {
  const side = { role: role === 'guest' ? 'A' : 'B', w, scalar: randomScalar(random) } as const
  const share = spakeMessage(side)
  return {
    share,
    agree(theirs, transcript) {
      const [pA, pB] = role === 'guest' ? [share, theirs] : [theirs, share]
      const [idA, idB] = [transcript.guestName, transcript.hostName]
      const keys = spakeKeys(side, { idA, idB, pA, pB, aad: transcript.hash() })
      return keys && { secret: concat(keys.Ke, linkSecret), confirms: { guest: keys.cA, host: keys.cB } }
    },
  }
}
