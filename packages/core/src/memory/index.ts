export { memoryCluster } from './cluster.js'
export type { MemoryCluster, MemoryClusterOptions } from './cluster.js'
