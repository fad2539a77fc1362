import type { NodeMessageOf, TurnCredentials } from '@peerage/protocol'
import type { P2PContext } from './signaling.js'

type P2PServers = NodeMessageOf<'welcome'>['p2p']

const ADDRESS_PATTERN = /^(\[[\da-f:.]+\]|[\w.-]+):\d{1,5}$/i
/** Credentials are renewed with a quarter of their life left: a handshake may take its whole deadline. */
const RENEW_SHARE = 0.75

/**
 * The P2P server in use: the application's own setting, else the integrated one; null: there is none.
 * @throws TypeError when the setting is not host:port
 */
export function p2pServerOf(setting: string | null | undefined, welcome: P2PServers): string | null {
  if (setting === undefined || setting === null) return welcome.server
  if (!ADDRESS_PATTERN.test(setting)) throw new TypeError(`p2pServer must be host:port, not ${setting}`)
  return setting
}

/** The ICE servers for a new connection, with TURN credentials that still live. */
export class IceServers {
  readonly #context: P2PContext
  readonly #setting: string | null | undefined
  readonly #stop: () => void
  #turn: TurnCredentials | null = null
  #renewAt = 0

  constructor(context: P2PContext, setting: string | null | undefined) {
    this.#context = context
    this.#setting = setting
    const welcomed = (): void => this.#keep(context.welcome.p2p.turn)
    this.#stop = context.onWelcome(welcomed)
    welcomed()
  }

  async current(): Promise<RTCIceServer[]> {
    if (this.#turn !== null && this.#context.clock.now() >= this.#renewAt) {
      const fresh = await this.#context.requestTurn()
      if (fresh !== undefined) this.#keep(fresh)
    }
    const server = p2pServerOf(this.#setting, this.#context.welcome.p2p)
    const servers: RTCIceServer[] = server === null ? [] : [{ urls: `stun:${server}` }]
    if (this.#turn !== null) {
      const { urls, username, credential } = this.#turn
      servers.push({ urls, username, credential })
    }
    return servers
  }

  close(): void {
    this.#stop()
  }

  #keep(turn: TurnCredentials | null): void {
    this.#turn = turn
    if (turn !== null) this.#renewAt = this.#context.clock.now() + turn.ttlMs * RENEW_SHARE
  }
}
