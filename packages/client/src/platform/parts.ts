import type { Parts } from './platform.js'
import { loadPart } from './load-part.js'

/** Each in a file of its own, loaded when it is first needed: a page is there sooner. */
export const lazyParts: Parts = {
  p2p: (wait) => loadPart(() => import('../p2p/p2p.js'), 'createP2P', wait),
  rooms: (wait) => loadPart(() => import('../rooms/rooms.js'), 'Room', wait),
}
