import { sha256 as hashSlowly } from '@noble/hashes/sha2.js'
import type { Bytes } from './bytes.js'

/** The part of `globalThis.crypto` that a page has only over https and on loopback. */
export interface PlatformCrypto {
  readonly subtle?: SubtleCrypto | undefined
}

/**
 * SHA-256, 32 bytes. The platform computes it where `crypto.subtle` exists. On a page of plain http JavaScript computes
 * it, many times slower.
 *
 * @example
 * const hash = await sha256(block)
 */
export async function sha256(bytes: Bytes, { subtle }: PlatformCrypto = crypto): Promise<Bytes> {
  return subtle ? new Uint8Array(await subtle.digest('SHA-256', bytes)) : hashSlowly(bytes)
}
