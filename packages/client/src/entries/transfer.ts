// Files and texts between two peers, by a link, a code or a password.
export { blobSource, memoryStore } from '../transfer/engine/index.js'
export { BLOCK_BYTES, SourceError, StoreError } from '../transfer/types.js'
export type * from '../transfer/types.js'
export type * from '../transfer/sharing.js'
export { createSharing } from '../transfer/session/create-sharing.js'
