import type { Bytes, Random } from './bytes.js'
import type { PlatformCrypto } from '../hash.js'
import type { KeyPair } from './key-pair.js'
import type { LinkKey } from './link.js'
import type { SealKeys } from './seal.js'

// The types of the handshake in which two peers prove to each other that they are the two of a link, a code or a
// session. `guest.ts` and `host.ts` are its two sides. SPEC.md, section 2, has the bytes.

/** Carries the messages of one handshake, in order. A `VerifyLine` of the P2P controller is one. */
export interface Line {
  send(bytes: Bytes): void | Promise<void>
  /** The next message of the other side. Rejects when the line is closed, or at a deadline: the handshake has none. */
  receive(): Promise<Bytes>
}

/** One end of the connection. */
export interface HandshakeEnd {
  name: string
  /**
   * SHA-256 of the certificate that this end uses in the connection, 64 lower-case hex digits. Empty if the messages go
   * through the server.
   */
  fingerprint: string
}

/** What both sides see of the connection. If they see different things, somebody is between them. */
export interface HandshakeContext {
  /** The id of the handshake: a new one for each. */
  handshake: string
  local: HandshakeEnd
  remote: HandshakeEnd
}

/** By what the guest proves itself. */
export type HandshakeKind = 'link' | 'link+password' | 'code' | 'session'

/** What the guest has. */
export type GuestSecret =
  | { kind: 'link'; key: LinkKey }
  /** `password`: of `passwordSecret`. */
  | { kind: 'link+password'; key: LinkKey; password: bigint }
  /** `code`: of `codeSecret`. */
  | { kind: 'code'; code: bigint }
  /** The keys of a handshake before. */
  | { kind: 'session'; session: SessionKeys }

/** What the host has. It serves the kinds for which it has something. */
export interface HostSecrets {
  keyPair: KeyPair
  /** The secrets of the links that work. */
  links?: readonly Bytes[] | undefined
  /** The secrets of links that work, and never need a password. */
  openLinks?: readonly Bytes[] | undefined
  /** The result of `passwordSecret`, if guests with a link need a password. */
  password?: bigint | undefined
  /** The result of `codeSecret`, while the host waits for a guest with a code. */
  code?: bigint | undefined
  /** Finds the session with this id. */
  session?: ((id: string) => SessionKeys | undefined) | undefined
  /**
   * Asked after the first message, before the host computes anything for the guest, and again before it checks the
   * guest's proof, because many handshakes may be under way at once. For the kinds with a link, the guest has the link.
   * A reason ends the handshake, and the guest is told.
   */
  refuse?: ((kind: HandshakeKind) => HostRefusal | undefined) | undefined
  /**
   * Called as soon as the host has checked the guest's proof, before any other proof is checked and before the guest is
   * told. For `link+password` and `code`, a proof that is not right is a wrong guess.
   */
  onProof?: ((kind: HandshakeKind, isRight: boolean) => void) | undefined
  /** How many wrong passwords the share still takes, after the one that `onProof` was told of. */
  triesLeft?: (() => number) | undefined
  /** Bytes for the guest, at most `PAYLOAD_BYTES_MAX`. Only a guest that has proven itself gets them. */
  payload?: ((kind: HandshakeKind) => Bytes) | undefined
}

export const PAYLOAD_BYTES_MAX = 512

/** Why a host takes no guest, although the first message was right. */
export type HostRefusal = 'locked' | 'taken' | 'stopped' | 'expired' | 'busy'

/** Why a handshake failed. */
export type HandshakeFailure =
  /** The host has no link with this secret: it is an old link, or one of another share. */
  | 'wrong-link'
  | 'wrong-password'
  | 'wrong-code'
  /** The host waits for no code, or it was used. */
  | 'no-code'
  /** The share has a password now. The guest tries again with it. */
  | 'password-needed'
  /** The share has no password any more. The guest tries again without it. */
  | 'password-not-needed'
  /** The host's key is not the one in the link: somebody who has the link plays the host. */
  | 'wrong-key'
  /** The host does not know the session, as after a reload of its page. */
  | 'not-the-session'
  /** A proof is wrong: somebody is between the two and changes what they send, or shows them other fingerprints. */
  | 'not-verified'
  /** The other side speaks another version. */
  | 'incompatible'
  | 'malformed'
  /** The line closed, or the other side gave up. */
  | 'broken-off'
  | HostRefusal

/** What both sides have after a handshake. */
export interface SessionKeys {
  /** 32 hex digits. It is not secret. */
  readonly id: string
  /** The session key, 32 bytes. Handshakes of the kind `session` prove it, and keep it. */
  readonly key: Bytes
  /** The host's public key, compressed. */
  readonly hostKey: Bytes
  /** For `createSeal`. New in each handshake. */
  readonly seal: SealKeys
}

/** Both sides have proven themselves. */
export interface GuestSuccess {
  ok: true
  kind: HandshakeKind
  keys: SessionKeys
  /** What the host gave as its payload. */
  payload: Bytes
}

export type GuestResult =
  | GuestSuccess
  | {
      ok: false
      why: HandshakeFailure
      /** After a wrong password: how many more the share takes, as far as the host has said so. */
      triesLeft?: number | undefined
    }

/** The guest has proven itself. The host has, too, once the guest has the last message. */
export interface HostSuccess {
  ok: true
  kind: HandshakeKind
  keys: SessionKeys
}

export type HostResult =
  | HostSuccess
  | {
      ok: false
      why: HandshakeFailure
      /** Undefined: no first message came that can be read. */
      kind: HandshakeKind | undefined
      /**
       * True: the guest has tested one password or code, and it was wrong. False: the guest has learnt nothing about
       * them, not even if the handshake broke off.
       */
      isGuess: boolean
    }

/** For tests. */
export interface HandshakeOptions {
  /** Default: `systemRandom`. */
  random?: Random
  /** Default: `globalThis.crypto`. */
  platform?: PlatformCrypto
}
