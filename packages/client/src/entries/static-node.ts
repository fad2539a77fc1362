// The SDK for Node without any dynamic import, but for node-datachannel, which no bundle can hold.
import { connectOn } from '../connect.js'
import { WebSocket } from 'ws'
import { nodePlatform } from '../platform/node.js'
import { staticParts } from '../platform/static-parts.js'

export * from '../index.js'

/** The types of every entry are those of browser.ts. */
export const connect = connectOn.bind(
  undefined,
  nodePlatform(async () => ({ WebSocket })),
  staticParts,
)
