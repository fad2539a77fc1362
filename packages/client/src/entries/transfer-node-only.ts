// What the entry for files and texts has in Node only.
export { fileSources } from '../transfer/node/file-sources.js'
export type { FileSources, Skipped } from '../transfer/node/file-sources.js'
export { folderStore } from '../transfer/node/folder-store.js'
export type { FolderStore, FolderStoreOptions } from '../transfer/node/folder-store.js'
export type { Unstorable } from '../transfer/node/folder-check.js'
export { streamStore } from '../transfer/node/stream-store.js'
