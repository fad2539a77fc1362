// The SDK for Node.
import { connectOn } from '../connect.js'
import { nodePlatform } from '../platform/node.js'
import { lazyModules } from '../platform/modules.js'

export * from '../index.js'

/** See browser.ts, whose types are those of every entry. */
export const connect = connectOn.bind(
  undefined,
  nodePlatform(() => import('ws')),
  lazyModules,
)
