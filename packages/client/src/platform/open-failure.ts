import { PeerageError } from '../lib/error.js'

/** What to look at, whatever the reason. */
export const ANYHOW = 'Is the node running, are scheme, host and port right, and is its certificate trusted?'
const UNTOLD = `this platform does not say why (a browser shows it in its console). ${ANYHOW}`

/** No WebSocket could be opened. `why`: as far as the platform tells, else ''; `cause`: its own error, if any. */
export function openFailure(endpoint: string, why: string, cause: unknown): PeerageError {
  const { origin, pathname } = new URL(endpoint)
  const text = `no WebSocket to ${origin}${pathname} could be opened: ${why || UNTOLD}`
  return new PeerageError('unreachable', text, cause === undefined ? {} : { cause })
}
