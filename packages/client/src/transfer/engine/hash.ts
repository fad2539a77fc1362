import { sha256 as noble } from '@noble/hashes/sha2.js'

/** The length of a SHA-256, in bytes. */
export const HASH_BYTES = 32

/** SHA-256 (FIPS 180-4): by the browser where the page is secure, else in JavaScript. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  // Browsers leave `subtle` out on pages of plain http.
  const subtle: SubtleCrypto | undefined = globalThis.crypto.subtle
  if (subtle !== undefined) return new Uint8Array(await subtle.digest('SHA-256', bytes))
  return new Uint8Array(noble(bytes))
}
