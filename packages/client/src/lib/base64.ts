/** JavaScript engines limit the number of arguments of a call. */
const CODES_AT_ONCE = 8_192

/** RFC 4648 §4. */
export function toBase64(bytes: Uint8Array): string {
  let codes = ''
  for (let at = 0; at < bytes.length; at += CODES_AT_ONCE)
    codes += String.fromCharCode(...bytes.subarray(at, at + CODES_AT_ONCE))
  return btoa(codes)
}

/** @throws for a text that is not base64 */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}

/** RFC 4648 §5, without padding: for URLs and names. */
export function toBase64Url(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

/** `bytes` random bytes as base64url. */
export function randomText(bytes: number): string {
  return toBase64Url(crypto.getRandomValues(new Uint8Array(bytes)))
}
