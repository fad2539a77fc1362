// The SDK for Node.
import { connectOn } from '../connect.js'
import type { Ground } from '../ground.js'
import { findNodePeerConnection, findNodeWebSocket } from '../node-platform.js'
import { lazyParts } from '../parts.js'

export * from '../index.js'

const ground: Ground = {
  findWebSocket: findNodeWebSocket(() => import('ws')),
  findPeerConnection: findNodePeerConnection,
  ...lazyParts,
}

/** The types of every entry are those of browser.ts. */
export const connect = connectOn.bind(undefined, ground)
