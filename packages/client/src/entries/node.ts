// The SDK for Node.
import { connectOn } from '../connect.js'
import type { ConnectOptions } from '../connect.js'
import type { Ground } from '../ground.js'
import { findNodePeerConnection, findNodeWebSocket } from '../node-platform.js'
import { lazyParts } from '../parts.js'
import type { Peer } from '../peer.js'

export * from '../index.js'

const ground: Ground = {
  findWebSocket: findNodeWebSocket(() => import('ws')),
  findPeerConnection: findNodePeerConnection,
  ...lazyParts,
}

/** The types of every entry are those of browser.ts. */
export function connect(url: string, options?: ConnectOptions): Promise<Peer> {
  return connectOn(ground, url, options)
}
