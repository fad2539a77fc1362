import type { GatewayOptions, SocketOptions } from '../shared/gateway.js'

export interface WebTorrentGatewayOptions extends GatewayOptions, SocketOptions {
  /** The node's own path, with slashes at both ends. */
  base: string
  /** About how often a member announces itself, in milliseconds. */
  intervalMs: number
}
