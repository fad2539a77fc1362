// Exports for Node alone. They are not in index.ts, so that no bundle for browsers contains imports of `node:` modules.
export { fileStorage } from '../platform/file-storage.js'
