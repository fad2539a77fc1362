import type { Platform } from '../platform/platform.js'
import { nodePlatform } from '../platform/node.js'

export { lazyModules as modules } from '../platform/modules.js'

/** Node's, as the package's entry for it has it. */
export const platform: Platform = nodePlatform(() => import('ws'))
