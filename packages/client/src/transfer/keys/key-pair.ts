import { p256 } from '@noble/curves/nist.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { fromBase64, toBase64Url } from '../../lib/base64.js'
import { systemRandom } from './bytes.js'
import type { Bytes, Random } from './bytes.js'

export const PUBLIC_KEY_BYTES = 33
export const SIGNATURE_BYTES = 64
export const KEY_HASH_BYTES = 16
const SECRET_KEY_BYTES = 32

/** The key pair of a host: ECDSA on P-256 with SHA-256 (FIPS 186-5). The link holds a hash of its public key. */
export interface KeyPair {
  /** Compressed, 33 bytes (SEC 1 §2.3.3). */
  readonly publicKey: Bytes
  /** 32 bytes. */
  readonly secretKey: Bytes
}

/** Makes a key pair for a share. */
export function createKeyPair(random: Random = systemRandom): KeyPair {
  return keyPairOf(p256.utils.randomSecretKey(random(48)))
}

/** The key pair as text, to come back after a reload: a secret. */
export function exportKeyPair(keyPair: KeyPair): string {
  return toBase64Url(keyPair.secretKey)
}

/** Reads what `exportKeyPair` wrote. Undefined: it is not a key. */
export function importKeyPair(text: string): KeyPair | undefined {
  if (!/^[\w-]{43}$/.test(text)) return undefined
  const secretKey = fromBase64(text.replaceAll('-', '+').replaceAll('_', '/'))
  return secretKey.length === SECRET_KEY_BYTES && p256.utils.isValidSecretKey(secretKey)
    ? keyPairOf(secretKey)
    : undefined
}

/** What a link says about the key of the host: the first half of the SHA-256 of the compressed public key. */
export function hashOfKey(publicKey: Bytes): Bytes {
  return sha256(publicKey).slice(0, KEY_HASH_BYTES)
}

/** Signs with a nonce of RFC 6979, so the same message gives the same signature: `r` and `s`, 32 bytes each. */
export function sign(keyPair: KeyPair, message: Bytes): Bytes {
  return p256.sign(message, keyPair.secretKey)
}

export function isSignedBy(publicKey: Bytes, message: Bytes, signature: Bytes): boolean {
  try {
    // Other implementations do not keep `s` in the lower half.
    return p256.verify(signature, message, publicKey, { lowS: false })
  } catch {
    return false
  }
}

function keyPairOf(secretKey: Bytes): KeyPair {
  return { publicKey: p256.getPublicKey(secretKey), secretKey }
}
