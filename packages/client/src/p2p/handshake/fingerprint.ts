// The line of a description that names the certificate of its side (RFC 8122 §5). A side is who it says only if this
// line and the DTLS handshake agree on one certificate, so no description may leave a choice (SPEC.md, PP41).

/** A line that any parser could read as a fingerprint. */
const LIKE_PATTERN = /^a=\s*fingerprint/i
const LINE_PATTERN = /^a=fingerprint:([\w-]+) ([\dA-F]{2}(?::[\dA-F]{2})*)$/i
const SHA_256_PATTERN = /^a=fingerprint:sha-256 ([\dA-F]{2}(?::[\dA-F]{2}){31})$/i

/**
 * Removes the fingerprints by other hashes, so that the stack can check nothing but the one by SHA-256. aiortc sends
 * three of one certificate. Undefined: the lines do not hold exactly one fingerprint by SHA-256, or one is malformed.
 */
export function withOneFingerprint(lines: readonly string[]): string[] | undefined {
  const isOther = (line: string): boolean => {
    const [, hash] = LINE_PATTERN.exec(line) ?? []
    return hash !== undefined && hash.toLowerCase() !== 'sha-256'
  }
  const kept = lines.filter((line) => !isOther(line))
  const found = kept.filter((line) => LIKE_PATTERN.test(line))
  return found.length === 1 && SHA_256_PATTERN.test(String(found[0])) ? kept : undefined
}

/** The fingerprint of a description as 64 lower-case hex digits. Undefined: it does not hold exactly one by SHA-256. */
export function fingerprintOf(sdp: string): string | undefined {
  const lines = withOneFingerprint(sdp.split(/\r?\n/)) ?? []
  for (const line of lines) {
    const [, hex] = SHA_256_PATTERN.exec(line) ?? []
    if (hex !== undefined) return hex.replaceAll(':', '').toLowerCase()
  }
  return undefined
}
