// Direct connections between the nodes of a cluster, beside the bus of its store.

export { withLinks } from './linked-backend.js'
export type { LinkCounts, LinkedBackend, LinksOptions } from './linked-backend.js'
