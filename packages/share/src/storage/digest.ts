import { sha256 } from '@noble/hashes/sha2.js'

/** SHA-256 by the browser, or by noble on a page without a secure context. */
export async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  // The types say that it is always there, and it is not on plain http.
  const subtle: SubtleCrypto | undefined = crypto.subtle
  if (subtle === undefined) return Uint8Array.from(sha256(bytes))
  return new Uint8Array(await subtle.digest('SHA-256', bytes))
}

export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}
