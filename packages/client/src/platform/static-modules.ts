import type { Modules } from './modules.js'
import * as p2p from '../p2p/p2p.js'
import * as rooms from '../rooms/rooms.js'
import * as renewal from '../tier/renewal.js'

/**
 * All modules in one file: for a service worker, which may not load code later, and for a server that is a single file.
 */
export const staticModules: Modules = {
  p2p: async () => p2p,
  rooms: async () => rooms,
  renewal: async () => renewal,
}
