import type { NodeMessageOf } from '@peerage/protocol'
import { parseHostPort } from '@peerage/protocol'

type P2PServers = NodeMessageOf<'welcome'>['p2p']

/**
 * The P2P server in use: the application's own setting, else the integrated one; null: there is none.
 * @throws TypeError when the setting is not host:port
 */
export function p2pServerOf(setting: string | null | undefined, welcome: P2PServers): string | null {
  if (setting === undefined || setting === null) return welcome.server
  if (parseHostPort(setting) === undefined)
    throw new TypeError(`p2pServer must be host:port, an IPv6 address in brackets, not ${setting}`)
  return setting
}
