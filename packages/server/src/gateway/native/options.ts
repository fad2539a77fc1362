import type { OnlineSession } from '@peerage/core'
import type { NodeMessageOf } from '@peerage/protocol'
import type { GatewayOptions, SocketOptions } from '../shared/gateway.js'

export interface NativeGatewayOptions extends GatewayOptions {
  engine: SocketOptions
  /** A command to the registry that is not answered within this time has failed. */
  commandMs: number
  /** The path of the gateway, with slashes at both ends. */
  path: string
  /** The limits of messages that this node carries for peers without a direct path. Null if it carries none. */
  relay: NodeMessageOf<'welcome'>['relay']
  /** The other fields of the welcome. `host` is the Host header of the peer's request. */
  welcome: (
    host: string | undefined,
  ) => { p2pServer: string | null } & Pick<NodeMessageOf<'welcome'>, 'graceMs' | 'deadlineMs' | 'pingMs'>
  /** Fresh TURN credentials for a peer, or null if no TURN server is configured. */
  turn: (session: OnlineSession) => NodeMessageOf<'ice'>['turn']
}
