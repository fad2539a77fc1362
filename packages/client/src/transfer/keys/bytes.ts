import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'

/** Bytes in memory that nobody else writes to. */
export type Bytes = Uint8Array<ArrayBuffer>

/** Gives random bytes. Tests pass one that repeats. */
export type Random = (length: number) => Bytes

/** `crypto.getRandomValues` exists on pages of plain http too. */
export const systemRandom: Random = (length) => crypto.getRandomValues(new Uint8Array(length))

const encoder = new TextEncoder()

export const utf8 = (text: string): Bytes => encoder.encode(text)

export const toHex = (bytes: Uint8Array): string => bytesToHex(bytes)

/** @throws for a text that is not pairs of hex digits */
export const fromHex = (text: string): Bytes => hexToBytes(text)

export function concat(...parts: Uint8Array[]): Bytes {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** The bytes after their length as an unsigned 16-bit number, most significant byte first. */
export function withLength(bytes: Uint8Array): Bytes {
  if (bytes.length > 0xffff) throw new RangeError(`${bytes.length} bytes do not fit a 16-bit length`)
  return concat(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes)
}

/** Compares without telling by its time where the bytes differ. The lengths are not secret. */
export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let at = 0; at < a.length; at++) difference |= (a[at] ?? 0) ^ (b[at] ?? 0)
  return difference === 0
}
