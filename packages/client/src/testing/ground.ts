import type { Ground } from '../ground.js'
import { nodePlatform } from '../node-platform.js'
import { lazyParts } from '../parts.js'

/** Node's, as the package's entry for it has it. */
export const ground: Ground = {
  ...nodePlatform(() => import('ws')),
  ...lazyParts,
}
