// The SDK for Node without dynamic imports, except that of node-datachannel, which a bundle cannot hold.
import { connectOn } from '../connect.js'
import { WebSocket } from 'ws'
import { nodePlatform } from '../platform/node.js'
import { staticModules } from '../platform/static-modules.js'

export * from '../index.js'

/** See browser.ts, whose types are those of every entry. */
export const connect = connectOn.bind(
  undefined,
  nodePlatform(async () => ({ WebSocket })),
  staticModules,
)
