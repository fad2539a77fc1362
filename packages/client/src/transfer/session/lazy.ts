import { PeerageError } from '../../lib/error.js'
import type { PlatformCrypto } from '../hash.js'

// What nobody needs before a link is shown: a page loads it after that. A module that was loaded once stays, so a session
// that is open never waits for one.

/** A module is missing, such as when the page is of another version than the node that answers now. */
export const isNotLoaded = (error: unknown): error is PeerageError =>
  error instanceof PeerageError && error.code === 'not-loaded'

async function load<T>(module: () => Promise<T>): Promise<T> {
  try {
    return await module()
  } catch (cause) {
    throw new PeerageError('not-loaded', 'a part of the program could not be loaded; reload the page', {
      cause,
    })
  }
}

/** What makes sessions of both roles: the handshake, the transfers, and the connections that carry them. */
export const sessionsModule = () => load(() => import('./sessions.js'))
/** scrypt of passwords and codes. */
export const passwords = () => load(() => import('../keys/password.js'))
export const hostCodes = () => load(() => import('./host-code.js'))
export const guestCodes = () => load(() => import('./code-guest.js'))

/** Loads what is needed beside sessions: for passwords, for codes, and for ciphers where the platform has none. */
export async function loadRest({ subtle }: PlatformCrypto = crypto): Promise<void> {
  const words = load(() => import('../keys/words.js'))
  const ciphers = subtle === undefined ? load(() => import('@noble/ciphers/aes.js')) : undefined
  await Promise.all([passwords(), hostCodes(), guestCodes(), words, ciphers])
}
