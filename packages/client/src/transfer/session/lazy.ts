// What nobody needs before a link is shown: a page loads it after that. A module that was loaded once stays, so a session
// that is open never waits for one.

/** A module is missing, such as when the page is of another version than the node that answers now. */
export class NotLoaded extends Error {
  override name = 'NotLoaded'
}

async function load<T>(module: () => Promise<T>): Promise<T> {
  try {
    return await module()
  } catch (cause) {
    throw new NotLoaded('a part of the program could not be loaded; reload the page', { cause })
  }
}

export const guestHandshake = () => load(() => import('../keys/guest.js'))
export const hostHandshake = () => load(() => import('../keys/host.js'))
/** scrypt of passwords and codes. */
export const passwords = () => load(() => import('../keys/password.js'))
export const hostCodes = () => load(() => import('./host-code.js'))
export const guestCodes = () => load(() => import('./code-guest.js'))
