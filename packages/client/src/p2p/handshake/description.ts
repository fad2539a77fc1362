// Descriptions as they travel: SPEC.md, Signals.

const CANDIDATE_PATTERN = /^a=(end-of-)?candidate/

/**
 * Lines that an answer may have in common with its offer: RFC 8843, 8285, 8830, 8839, 3264, 8842, 8841; and RFC 8122's
 * fingerprint, for all peers of one process have one certificate with werift.
 */
const COMMON_PATTERN =
  /^a=(group|extmap-allow-mixed|msid-semantic|ice-options|mid|sendrecv|setup|sctp-port|sctpmap|max-message-size|fingerprint)\b/

/**
 * A description of this side for the other: whole lines that end in CR LF, without candidates, which follow it, and
 * without the address that some stacks write into it once they have one (RFC 8839 §4.3.1).
 */
export function ownDescription(sdp: string | undefined): string {
  return lines(sdp ?? '')
    .filter((line) => !CANDIDATE_PATTERN.test(line))
    .map((line) => line.replace(/^c=.*/, 'c=IN IP4 0.0.0.0').replace(/^(m=\w+) [1-9]\d* /, '$1 9 '))
    .map((line) => `${line}\r\n`)
    .join('')
}

/**
 * An answer without what it only repeats from its offer. libdatachannel copies each attribute of the offer that it does
 * not know, and thereby says yes to what it does not speak: to `sctp-init` (SNAP), after which a browser sends data to
 * a side that still waits for the beginning. Who speaks it answers with a line of its own.
 */
export function answerTo(offer: string, answer: string): string {
  const offered = new Set(lines(offer))
  const isEcho = (line: string): boolean =>
    line.startsWith('a=') && !COMMON_PATTERN.test(line) && offered.has(line)
  return lines(answer)
    .filter((line) => !isEcho(line))
    .map((line) => `${line}\r\n`)
    .join('')
}

const lines = (sdp: string): string[] => sdp.split(/\r?\n/).filter((line) => line !== '')
