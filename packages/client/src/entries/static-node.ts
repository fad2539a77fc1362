// The SDK for Node without any dynamic import, but for node-datachannel, which no bundle can hold.
import { connectOn } from '../connect.js'
import type { Ground } from '../ground.js'
import { WebSocket } from 'ws'
import { findNodePeerConnection, findNodeWebSocket } from '../node-platform.js'
import { staticParts } from '../static-parts.js'

export * from '../index.js'

const ground: Ground = {
  findWebSocket: findNodeWebSocket(async () => ({ WebSocket })),
  findPeerConnection: findNodePeerConnection,
  ...staticParts,
}

/** The types of every entry are those of browser.ts. */
export const connect = connectOn.bind(undefined, ground)
