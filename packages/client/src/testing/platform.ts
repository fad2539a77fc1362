import type { Ground } from '../platform/platform.js'
import { nodePlatform } from '../platform/node.js'
import { lazyParts } from '../platform/parts.js'

/** Node's, as the package's entry for it has it. */
export const ground: Ground = {
  ...nodePlatform(() => import('ws')),
  ...lazyParts,
}
