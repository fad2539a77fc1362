// Links: direct connections between the nodes of a cluster, beside the bus of its store.

export { withLinks } from './linked-backend.js'
export type { LinkState, LinkedBackend, LinksOptions } from './linked-backend.js'
export type { DownReason } from './link.js'
export { encodeAnnouncement, parseAnnouncement } from './announcement.js'
export type { Announcement } from './announcement.js'
