import type { GatewayOptions, SocketOptions } from '../shared/gateway.js'

export interface WebTorrentGatewayOptions extends GatewayOptions, SocketOptions {
  /** The node's path, with slashes at both ends. The wire is below it. */
  base: string
  /** How often a member announces itself, in milliseconds. A newcomer of a small swarm does so sooner [WT5]. */
  intervalMs: number
}
