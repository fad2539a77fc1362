import type { Ground } from '../ground.js'
import { findNodePeerConnection, findNodeWebSocket } from '../node-platform.js'
import { lazyParts } from '../parts.js'

/** Node's, as the package's entry for it has it. */
export const ground: Ground = {
  findWebSocket: findNodeWebSocket(() => import('ws')),
  findPeerConnection: findNodePeerConnection,
  ...lazyParts,
}
