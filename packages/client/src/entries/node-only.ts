// What only Node has: apart from index.ts, so that no bundle for a browser comes across `node:` modules.
export { fileStorage } from '../platform/file-storage.js'
