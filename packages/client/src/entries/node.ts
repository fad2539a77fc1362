// The SDK for Node.
import { connectOn } from '../connect.js'
import type { Ground } from '../platform/platform.js'
import { nodePlatform } from '../platform/node.js'
import { lazyParts } from '../platform/parts.js'

export * from '../index.js'

const ground: Ground = {
  ...nodePlatform(() => import('ws')),
  ...lazyParts,
}

/** The types of every entry are those of browser.ts. */
export const connect = connectOn.bind(undefined, ground)
