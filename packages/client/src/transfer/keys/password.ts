import { scryptAsync } from '@noble/hashes/scrypt.js'
import { concat, utf8 } from './bytes.js'
import type { Bytes } from './bytes.js'
import { reduceToScalar } from './spake2.js'

// The password hash of SPAKE2 (RFC 9382 §3.2). SPAKE2 lets nobody test guesses without a run, so the hash protects only
// a password whose `w` was stolen. It runs on phones too.

/**
 * scrypt (RFC 7914) with 16 MiB of memory: 61 ms in Node 20 on a server of 2024, and some 300 ms on a phone. It gives the
 * event loop a turn each 10 ms, so that a page does not freeze.
 */
const COST = { N: 2 ** 14, r: 8, p: 1, dkLen: 40 }

/**
 * What SPAKE2 needs of a password. Compute it once a share, not once a guess.
 *
 * @param keyHash the hash of the host's key that is in the link, which makes the result different for each share
 */
export async function passwordSecret(password: string, keyHash: Bytes): Promise<bigint> {
  return stretch(password.normalize('NFKC'), concat(utf8('peerage share 1 password'), keyHash))
}

/**
 * What SPAKE2 needs of a code.
 *
 * @param code the canonical text that `makeCode` and `parseCode` give, such as `17-crane-otter-tulip`
 */
export async function codeSecret(code: string): Promise<bigint> {
  return stretch(code, utf8('peerage share 1 code'))
}

async function stretch(text: string, salt: Bytes): Promise<bigint> {
  return reduceToScalar(await scryptAsync(utf8(text), salt, COST))
}
