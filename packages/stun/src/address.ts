// Converts IP addresses between the text that Node's sockets use and the bytes that STUN carries.

export type Family = 'IPv4' | 'IPv6'

/** Where a datagram came from or goes to. `address` is an IP address in text, without a zone index. */
export interface TransportAddress {
  readonly family: Family
  readonly address: string
  readonly port: number
}

export const IPV4_BYTES = 4
export const IPV6_BYTES = 16

const DOT = 46
const ZERO = 48
const COLON = 58

/** Writes the dotted quad between `start` and `end` at `at`. False if it is none. No leading zeros (RFC 6943 §3.1.1). */
function writeIPv4(text: string, start: number, end: number, into: Uint8Array, at: number): boolean {
  let part = 0
  let digits = 0
  let parts = 0
  for (let i = start; i <= end; i++) {
    const code = i === end ? DOT : text.charCodeAt(i)
    if (code === DOT) {
      if (digits === 0 || parts === IPV4_BYTES) return false
      into[at + parts] = part
      parts++
      part = 0
      digits = 0
      continue
    }
    const digit = code - ZERO
    if (digit < 0 || digit > 9 || (digits > 0 && part === 0)) return false
    part = part * 10 + digit
    digits++
    if (part > 255) return false
  }
  return parts === IPV4_BYTES
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const lower = code | 0x20
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

/** Writes an IPv6 address (RFC 4291 §2.2) to the first 16 bytes, without its zone index. False if the text is none. */
function writeIPv6(text: string, into: Uint8Array): boolean {
  const zone = text.indexOf('%')
  const end = zone === -1 ? text.length : zone
  if (zone === text.length - 1) return false
  let length = 0
  let gap = -1
  let i = 0
  if (text.startsWith('::')) {
    gap = 0
    i = 2
  }
  while (i < end) {
    const start = i
    let group = 0
    let digit = 0
    while (i < end && (digit = hexDigit(text.charCodeAt(i))) >= 0) {
      group = (group << 4) | digit
      i++
    }
    const code = i < end ? text.charCodeAt(i) : COLON
    if (code === DOT) {
      if (length > IPV6_BYTES - IPV4_BYTES || !writeIPv4(text, start, end, into, length)) return false
      length += IPV4_BYTES
      break
    }
    if (code !== COLON || i === start || i - start > 4 || length === IPV6_BYTES) return false
    into[length] = group >> 8
    into[length + 1] = group & 0xff
    length += 2
    if (i === end) break
    i++
    if (i < end && text.charCodeAt(i) === COLON) {
      if (gap !== -1) return false
      gap = length
      i++
    } else if (i === end) return false
  }
  if (gap === -1) return length === IPV6_BYTES
  // The gap stands for at least one group of zeros.
  if (length >= IPV6_BYTES) return false
  into.copyWithin(IPV6_BYTES - (length - gap), gap, length)
  into.fill(0, gap, IPV6_BYTES - (length - gap))
  return true
}

/**
 * Reads an IP address into the first bytes of `into`, which is at least 16 bytes long.
 * Returns the number of bytes written, 4 or 16, or 0 if the text is not an IP address.
 */
export function readIp(text: string, into: Uint8Array): 0 | 4 | 16 {
  if (text.includes(':')) return writeIPv6(text, into) ? IPV6_BYTES : 0
  return writeIPv4(text, 0, text.length, into, 0) ? IPV4_BYTES : 0
}

/**
 * Like `readIp`, but reads an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) as its IPv4 address. A dual-stack
 * socket reports an IPv4 sender in that form.
 */
export function readSource(text: string, into: Uint8Array): 0 | 4 | 16 {
  const length = readIp(text, into)
  if (length !== IPV6_BYTES || into[10] !== 0xff || into[11] !== 0xff) return length
  for (let i = 0; i < 10; i++) if (into[i] !== 0) return length
  into.copyWithin(0, 12, IPV6_BYTES)
  return IPV4_BYTES
}

/** The text of 4 or 16 address bytes; IPv6 in the canonical form of RFC 5952. */
export function formatIp(bytes: Uint8Array): string {
  return bytes.length === IPV4_BYTES ? bytes.join('.') : formatIPv6(bytes)
}

function formatIPv6(bytes: Uint8Array): string {
  const groups: number[] = []
  for (let i = 0; i < IPV6_BYTES; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0))
  if (groups[5] === 0xffff && groups.slice(0, 5).every((g) => g === 0)) {
    return `::ffff:${bytes.subarray(12).join('.')}`
  }
  const { start, length } = longestZeroRun(groups)
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((g) => g.toString(16))
      .join(':')
  // RFC 5952 §4.2.2: a single group of zeros is not shortened.
  if (length < 2) return hex(0, 8)
  return `${hex(0, start)}::${hex(start + length, 8)}`
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  let start = 0
  for (let i = 0; i <= groups.length; i++) {
    if (groups[i] === 0) continue
    // RFC 5952 §4.2.3: of equally long runs, the first one is shortened.
    if (i - start > best.length) best = { start, length: i - start }
    start = i + 1
  }
  return best
}

/** The transport address of an IP address and a port. Undefined if one of them is invalid. */
export function transportAddress(address: string, port: number): TransportAddress | undefined {
  const bytes = new Uint8Array(IPV6_BYTES)
  const length = readSource(address, bytes)
  if (length === 0 || !Number.isInteger(port) || port < 0 || port > 65_535) return undefined
  return {
    family: length === IPV4_BYTES ? 'IPv4' : 'IPv6',
    address: formatIp(bytes.subarray(0, length)),
    port,
  }
}
