import type { Platform } from '../platform/platform.js'
import { nodePlatform } from '../platform/node.js'

export { lazyParts as parts } from '../platform/parts.js'

/** The platform of the package's entry for Node. */
export const platform: Platform = nodePlatform(() => import('ws'))
