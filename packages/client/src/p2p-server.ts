import type { NodeMessageOf } from '@peerage/protocol'

type P2PServers = NodeMessageOf<'welcome'>['p2p']

const ADDRESS_PATTERN = /^(\[[\da-f:.]+\]|[\w.-]+):\d{1,5}$/i

/**
 * The P2P server in use: the application's own setting, else the integrated one; null: there is none.
 * @throws TypeError when the setting is not host:port
 */
export function p2pServerOf(setting: string | null | undefined, welcome: P2PServers): string | null {
  if (setting === undefined || setting === null) return welcome.server
  if (!ADDRESS_PATTERN.test(setting)) throw new TypeError(`p2pServer must be host:port, not ${setting}`)
  return setting
}
