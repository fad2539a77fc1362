import type { OnlineSession } from '@peerage/core'
import type { NodeMessageOf } from '@peerage/protocol'
import type { TurnPolicy } from '../../apps/policy.js'
import type { GatewayOptions, SocketOptions } from '../shared/gateway.js'

export interface NativeGatewayOptions extends GatewayOptions {
  engine: SocketOptions
  /** A command to the registry that is not answered within this time has failed. */
  commandMs: number
  /** The path of the gateway, with slashes at both ends. */
  path: string
  /** The other fields of the welcome. `host` is the Host header of the peer's request. */
  welcome: (
    host: string | undefined,
  ) => { p2pServer: string | null } & Pick<NodeMessageOf<'welcome'>, 'graceMs' | 'deadlineMs' | 'pingMs'>
  /** Fresh TURN credentials for a peer, or null if its app has no TURN server. */
  turn: (session: OnlineSession, policy: TurnPolicy) => NodeMessageOf<'ice'>['turn']
}
