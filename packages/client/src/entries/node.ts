// The SDK for Node.
import { connectOn } from '../connect.js'
import { nodePlatform } from '../platform/node.js'
import { lazyParts } from '../platform/parts.js'

export * from '../index.js'

/** The types of every entry are those of browser.ts. */
export const connect = connectOn.bind(
  undefined,
  nodePlatform(() => import('ws')),
  lazyParts,
)
