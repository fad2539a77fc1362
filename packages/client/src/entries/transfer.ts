// Files and texts between two peers, by a link, a code or a password.
export { BLOCK_BYTES, SourceError, StoreError } from '../transfer/types.js'
export type * from '../transfer/types.js'
export type * from '../transfer/sharing.js'
export { numbered, pathKey, safePath, uniquePaths } from '../transfer/paths.js'
export type { SafePath, Segments } from '../transfer/paths.js'
