import type { Platform } from '../platform/platform.js'
import { nodePlatform } from '../platform/node.js'

export { lazyParts as parts } from '../platform/parts.js'

/** Node's, as the package's entry for it has it. */
export const platform: Platform = nodePlatform(() => import('ws'))
