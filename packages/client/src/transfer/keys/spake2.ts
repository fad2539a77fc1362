import { p256 } from '@noble/curves/nist.js'
import { expand, extract } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { concat, utf8 } from './bytes.js'
import type { Bytes, Random } from './bytes.js'

// SPAKE2, RFC 9382, with the suite P256-SHA256-HKDF-HMAC: two sides that share a password agree on a key, and whoever
// does not know the password can test one guess a run. Names of values are those of the RFC.

const { Point } = p256
type Point = InstanceType<typeof Point>

/** The constants of RFC 9382 §4 for P-256. Nobody knows their discrete logarithms. */
const M = Point.fromHex('02886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f')
const N = Point.fromHex('03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49')

/** The length of an uncompressed point, as it travels (SEC 1 §2.3.3). */
export const POINT_BYTES = 65

/** A number from 1 to the order of the curve - 1. The excess of 16 bytes makes the bias negligible (FIPS 186-5 A.2.1). */
export function randomScalar(random: Random): bigint {
  return scalarOf(p256.utils.randomSecretKey(random(48)))
}

/** A point of the other side. Undefined: it is not an uncompressed point of the curve, or it is the identity. */
function readPoint(bytes: Uint8Array): Point | undefined {
  if (bytes.length !== POINT_BYTES || bytes[0] !== 4) return undefined
  try {
    const point = Point.fromBytes(bytes)
    return point.is0() ? undefined : point
  } catch {
    return undefined
  }
}

/** The point of a scalar, uncompressed. */
export function publicPoint(scalar: bigint): Bytes {
  return Point.BASE.multiply(scalar).toBytes(false)
}

/** ECDH: the x coordinate of the shared point (SEC 1 §3.3.1), 32 bytes. Undefined: `theirs` is no valid point. */
export function sharedX(scalar: bigint, theirs: Uint8Array): Bytes | undefined {
  return readPoint(theirs)?.multiply(scalar).toBytes(true).slice(1)
}

/** `w` of RFC 9382 §3.2 from the output of the password hash: at least 40 bytes, so that the bias is negligible. */
export function reduceToScalar(bytes: Uint8Array): bigint {
  return (scalarOf(bytes) % (Point.Fn.ORDER - 1n)) + 1n
}

function scalarOf(bytes: Uint8Array): bigint {
  return bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
}

/** A is the side that sends first. */
export type SpakeRole = 'A' | 'B'

/** One side of a run. Use a scalar once. */
export interface SpakeSide {
  role: SpakeRole
  w: bigint
  /** The secret of this side: `x` or `y`. */
  scalar: bigint
}

/** What both sides of a run tell each other or know. */
export interface SpakeRun {
  idA: Bytes
  idB: Bytes
  pA: Bytes
  pB: Bytes
  /** Further data that both sides must agree on: `AAD` of RFC 9382 §4. */
  aad: Bytes
}

export interface SpakeKeys {
  /** The shared key, 16 bytes. It is good only if the confirmation of the other side is right. */
  Ke: Bytes
  /** The confirmation that A sends, 32 bytes. */
  cA: Bytes
  /** The confirmation that B sends, 32 bytes. */
  cB: Bytes
}

/** The message of this side: `pA = x*P + w*M`, or `pB = y*P + w*N` (RFC 9382 §3.3). */
export function spakeMessage({ role, w, scalar }: SpakeSide): Bytes {
  const blind = (role === 'A' ? M : N).multiply(w)
  return Point.BASE.multiply(scalar).add(blind).toBytes(false)
}

/** The keys and confirmations of RFC 9382 §4. Undefined: the message of the other side is no valid point. */
export function spakeKeys({ role, w, scalar }: SpakeSide, run: SpakeRun): SpakeKeys | undefined {
  const theirs = readPoint(role === 'A' ? run.pB : run.pA)
  const unblinded = theirs?.subtract((role === 'A' ? N : M).multiply(w))
  // The cofactor of P-256 is 1, so the only element to refuse is the identity (RFC 9382 §3.3).
  if (!unblinded || unblinded.is0()) return undefined
  const K = unblinded.multiply(scalar).toBytes(false)
  const TT = concat(...[run.idA, run.idB, run.pA, run.pB, K, Point.Fn.toBytes(w)].map(withLength64))
  const hash = sha256(TT)
  const [Ke, Ka] = [hash.slice(0, 16), hash.slice(16)]
  const prk = extract(sha256, Ka)
  const confirmation = expand(sha256, prk, concat(utf8('ConfirmationKeys'), run.aad), 32)
  const [KcA, KcB] = [confirmation.slice(0, 16), confirmation.slice(16)]
  return { Ke, cA: hmac(sha256, KcA, TT), cB: hmac(sha256, KcB, TT) }
}

/** RFC 9382 §2: the length as eight bytes, least significant first. */
function withLength64(bytes: Uint8Array): Bytes {
  const length = new Uint8Array(8)
  new DataView(length.buffer).setUint32(0, bytes.length, true)
  return concat(length, bytes)
}
