import type * as P2PPart from '../p2p/p2p.js'
import type * as RoomsPart from '../rooms/rooms.js'
import { loadPart } from './load-part.js'
import type { PartWait } from './load-part.js'

/**
 * What nothing needs before the first welcome. Each rejects with the signal's reason, or with a PeerageError
 * `not-loaded`. Only `connect` and Peer know of them: what is in the parts imports the session, never the other way.
 */
export interface Parts {
  p2p: (wait: PartWait) => Promise<typeof P2PPart>
  rooms: (wait: PartWait) => Promise<typeof RoomsPart>
}

/** Each in a file of its own, loaded when it is first needed: a page is there sooner. */
export const lazyParts: Parts = {
  p2p: (wait) => loadPart(() => import('../p2p/p2p.js'), 'createP2P', wait),
  rooms: (wait) => loadPart(() => import('../rooms/rooms.js'), 'Room', wait),
}
