import type { OnlineSession } from '@peerage/core'
import type { NodeMessageOf } from '@peerage/protocol'
import type { GatewayOptions, SocketOptions } from '../shared/gateway.js'

export interface NativeGatewayOptions extends GatewayOptions {
  engine: SocketOptions
  /** Within so many milliseconds the registry answers, or has failed. */
  commandMs: number
  /** Mount point, with slashes on both ends. */
  path: string
  /** What this node carries for peers that find no direct way; null: nothing. */
  relay: NodeMessageOf<'welcome'>['relay']
  /** What the welcome says beside these; `host` is the Host header of the peer's request. */
  welcome: (
    host: string | undefined,
  ) => { p2pServer: string | null } & Pick<NodeMessageOf<'welcome'>, 'graceMs' | 'deadlineMs' | 'pingMs'>
  /** Fresh TURN credentials for a peer; null: no TURN here. */
  turn: (session: OnlineSession) => NodeMessageOf<'ice'>['turn']
}
