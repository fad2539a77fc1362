import type { ApiDependencies } from './dependencies.js'
import { accessRoutes } from './handlers/access.js'
import { messageRoutes } from './handlers/messages.js'
import { peerRoutes } from './handlers/peers.js'
import { serverRoutes } from './handlers/servers.js'
import type { OperationId } from './operations.js'
import type { Route } from './route.js'

/** The handlers of all operations. */
export function createRoutes(dependencies: ApiDependencies): Record<OperationId, Route> {
  return {
    ...peerRoutes(dependencies),
    ...messageRoutes(dependencies),
    ...accessRoutes(dependencies),
    ...serverRoutes(dependencies),
  }
}
