import type { Bytes } from './bytes.js'
import type { PlatformCrypto } from '../hash.js'

// Messages that the server carries, so that it can neither read nor change them.

/** What a sealed message is longer than its content: the tag of AES-GCM. */
export const SEAL_BYTES = 16

/**
 * How many messages one key seals. With messages of 144 KiB, which is the most that the server carries, the chance to
 * tell the sealed bytes from random ones stays below 2^-54 (NIST SP 800-38D; RFC 8446 §5.5 does the same sum).
 */
export const MESSAGES_MAX = 2 ** 24

/** The keys of the two directions, 32 bytes each. */
export interface SealKeys {
  /** Of the messages that this side sends. */
  out: Bytes
  /** Of the messages that the other side sends. */
  in: Bytes
}

export type SealResult =
  | { ok: true; bytes: Bytes }
  /** The message is not the next one of the other side, or was changed. Nothing more can be opened. */
  | { ok: false; why: 'not-authentic' }
  /** The keys have sealed all the messages that they may. A new handshake gives new ones. */
  | { ok: false; why: 'used-up' }

/** Seals and opens messages. The order of the calls is the order of the messages. */
export interface Seal {
  /** Seals the next message of this side. Send the results in the order of the calls. */
  seal(bytes: Bytes): Promise<SealResult>
  /** Opens the next message of the other side. */
  open(bytes: Bytes): Promise<SealResult>
}

/** AES-256-GCM with one key (NIST SP 800-38D). A nonce has 12 bytes, and is used once. */
export interface Cipher {
  encrypt(nonce: Bytes, bytes: Bytes): Promise<Bytes>
  /** Undefined: the bytes were not encrypted with this key and nonce. */
  decrypt(nonce: Bytes, bytes: Bytes): Promise<Bytes | undefined>
}

/**
 * A seal for one connection. A pair of keys is good for one seal, because its nonces count from 0.
 *
 * @example
 * const seal = await createSeal(result.keys.seal)
 * const sealed = await seal.seal(message)
 * if (sealed.ok) await peer.send(name, sealed.bytes, { via: 'server' })
 */
export async function createSeal(
  keys: SealKeys,
  { messagesMax = MESSAGES_MAX, platform = crypto }: SealOptions = {},
): Promise<Seal> {
  const [outgoing, incoming] = await Promise.all([
    createCipher(keys.out, platform),
    createCipher(keys.in, platform),
  ])
  let sealed = 0
  let opened = 0
  let isBroken = false
  let before: Promise<unknown> = Promise.resolve()

  async function openNext(count: number, bytes: Bytes, turn: Promise<unknown>): Promise<SealResult> {
    const decrypted = await incoming.decrypt(nonceOf(count), bytes)
    await turn
    if (!decrypted) isBroken = true
    return isBroken || !decrypted ? { ok: false, why: 'not-authentic' } : { ok: true, bytes: decrypted }
  }

  return {
    async seal(bytes) {
      if (sealed >= messagesMax) return { ok: false, why: 'used-up' }
      return { ok: true, bytes: await outgoing.encrypt(nonceOf(sealed++), bytes) }
    },
    async open(bytes) {
      if (isBroken) return { ok: false, why: 'not-authentic' }
      if (opened >= messagesMax) return { ok: false, why: 'used-up' }
      const result = openNext(opened++, bytes, before)
      before = result
      return result
    },
  }
}

export interface SealOptions {
  /** Default: `MESSAGES_MAX`. */
  messagesMax?: number
  /** Default: `globalThis.crypto`. */
  platform?: PlatformCrypto
}

/** The cipher of the platform where it has one, and else that of JavaScript. Both give the same bytes. */
export async function createCipher(key: Bytes, { subtle }: PlatformCrypto = crypto): Promise<Cipher> {
  if (!subtle) {
    // Pages of plain http alone load it.
    const { gcm } = await import('@noble/ciphers/aes.js')
    return {
      encrypt: async (nonce, bytes) => gcm(key, nonce).encrypt(bytes),
      decrypt: async (nonce, bytes) => decryptedOr(async () => gcm(key, nonce).decrypt(bytes)),
    }
  }
  const imported = await subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt', 'decrypt'])
  const how = (iv: Bytes): AesGcmParams => ({ name: 'AES-GCM', iv })
  return {
    encrypt: async (nonce, bytes) => new Uint8Array(await subtle.encrypt(how(nonce), imported, bytes)),
    decrypt: async (nonce, bytes) =>
      decryptedOr(async () => new Uint8Array(await subtle.decrypt(how(nonce), imported, bytes))),
  }
}

async function decryptedOr(decrypt: () => Promise<Bytes>): Promise<Bytes | undefined> {
  try {
    return await decrypt()
  } catch {
    return undefined
  }
}

/** 96 bits: the count of the message, most significant byte first. */
export function nonceOf(count: number): Bytes {
  const nonce = new Uint8Array(12)
  new DataView(nonce.buffer).setBigUint64(4, BigInt(count))
  return nonce
}
