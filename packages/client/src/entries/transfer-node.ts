// Files and texts between two peers, in Node: the same, and files and folders of the disk.
export * from './transfer.js'
export * from './transfer-node-only.js'
