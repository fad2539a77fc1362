// The SDK for Node without any dynamic import, but for node-datachannel, which no bundle can hold.
import { connectOn } from '../connect.js'
import type { ConnectOptions } from '../connect.js'
import type { Ground } from '../ground.js'
import { WebSocket } from 'ws'
import { findNodePeerConnection, findNodeWebSocket } from '../node-platform.js'
import { staticParts } from '../static-parts.js'
import type { Peer } from '../peer.js'

export * from '../index.js'

const ground: Ground = {
  findWebSocket: findNodeWebSocket(async () => ({ WebSocket })),
  findPeerConnection: findNodePeerConnection,
  ...staticParts,
}

/** The types of every entry are those of browser.ts. */
export function connect(url: string, options?: ConnectOptions): Promise<Peer> {
  return connectOn(ground, url, options)
}
