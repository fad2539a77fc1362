import { expand, extract } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { concat, toHex, utf8, withLength } from './bytes.js'
import type { Bytes } from './bytes.js'
import type { HandshakeContext, HandshakeKind } from './handshake.js'
import { kindCode, LINK_ID_BYTES, SESSION_ID_BYTES, VERSION } from './messages.js'

// The transcript and the keys of a handshake: SPEC.md, section 2.

const label = (text: string): Bytes => utf8(`peerage share 1 ${text}`)

/** All that both sides must see alike, and the messages so far. Each part has its length before it. */
export class Transcript {
  #bytes: Bytes
  readonly guestName: Bytes
  readonly hostName: Bytes

  constructor(kind: HandshakeKind, { handshake, local, remote }: HandshakeContext, role: 'guest' | 'host') {
    const [guest, host] = role === 'guest' ? [local, remote] : [remote, local]
    this.guestName = utf8(guest.name)
    this.hostName = utf8(host.name)
    const texts = [guest.name, host.name, handshake, guest.fingerprint, host.fingerprint]
    this.#bytes = concat(
      withLength(utf8('peerage share')),
      Uint8Array.of(VERSION, kindCode(kind)),
      ...texts.map((text) => withLength(utf8(text))),
    )
  }

  add(message: Bytes): void {
    this.#bytes = concat(this.#bytes, withLength(message))
  }

  hash(): Bytes {
    return sha256(this.#bytes)
  }
}

/** What the secret of a link gives: an id by which the host finds it, and a key that proves to have the link. */
export function linkKeys(secret: Bytes): { id: Bytes; authKey: Bytes } {
  const prk = extract(sha256, secret)
  return {
    id: expand(sha256, prk, label('link id'), LINK_ID_BYTES),
    authKey: expand(sha256, prk, label('link key'), 32),
  }
}

/** Proves that a message comes from somebody with the link, who sees the same transcript. */
export function linkMac(authKey: Bytes, transcript: Transcript, withoutMac: Bytes): Bytes {
  return hmac(sha256, authKey, concat(transcript.hash(), withoutMac))
}

/** What the two sides have agreed on by their first messages. */
export interface Agreed {
  secret: Bytes
  /** The confirmations of SPAKE2, which take the place of those of the schedule. */
  confirms?: { guest: Bytes; host: Bytes }
}

/** All keys of a handshake, from what was agreed and the transcript of the first two messages. */
export interface Schedule {
  guestConfirm: Bytes
  hostConfirm: Bytes
  /** Encrypts what the fourth message says about the host. */
  identityKey: Bytes
  /** What the host signs. */
  signed: Bytes
  sessionId: string
  sessionKey: Bytes
  guestToHost: Bytes
  hostToGuest: Bytes
}

export function scheduleOf({ secret, confirms }: Agreed, transcript: Transcript): Schedule {
  const hash = transcript.hash()
  const prk = extract(sha256, secret, hash)
  const derive = (text: string, length = 32): Bytes => expand(sha256, prk, label(text), length)
  return {
    guestConfirm: confirms?.guest ?? derive('guest confirm'),
    hostConfirm: confirms?.host ?? derive('host confirm'),
    identityKey: derive('host identity'),
    signed: concat(label('host key'), hash),
    sessionId: toHex(derive('session id', SESSION_ID_BYTES)),
    sessionKey: derive('session key'),
    guestToHost: derive('guest to host'),
    hostToGuest: derive('host to guest'),
  }
}
