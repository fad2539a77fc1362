import { sha256 as hashSlowly } from '@noble/hashes/sha2.js'

/** The length of a SHA-256, in bytes. */
export const HASH_BYTES = 32

/** The part of `globalThis.crypto` that a page has only over https and on loopback. */
export interface PlatformCrypto {
  readonly subtle?: SubtleCrypto | undefined
}

/**
 * SHA-256 (FIPS 180-4), 32 bytes. The platform computes it where `crypto.subtle` exists. On a page of plain http
 * JavaScript computes it, many times slower.
 *
 * @example
 * const hash = await sha256(block)
 */
export async function sha256(
  bytes: Uint8Array<ArrayBuffer>,
  { subtle }: PlatformCrypto = crypto,
): Promise<Uint8Array<ArrayBuffer>> {
  return subtle ? new Uint8Array(await subtle.digest('SHA-256', bytes)) : hashSlowly(bytes)
}
