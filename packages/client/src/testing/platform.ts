import type { Platform } from '../platform/platform.js'
import { nodePlatform } from '../platform/node.js'

export { lazyModules as modules } from '../platform/modules.js'

/** The platform of the package's entry for Node. */
export const platform: Platform = nodePlatform(() => import('ws'))
