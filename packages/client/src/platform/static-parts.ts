import type { Parts } from './parts.js'
import * as p2p from '../p2p/p2p.js'
import * as rooms from '../rooms/rooms.js'

/** All in one file: for a service worker, which may not load code later, and for a server that is one file. */
export const staticParts: Parts = { p2p: async () => p2p, rooms: async () => rooms }
