import type { TurnCredentials } from '@peerage/protocol'
import { formatIceUrl, parseIceUrl } from '@peerage/protocol'
import { p2pServerOf } from './p2p-server.js'
import type { Timer } from '../lib/clock.js'
import { withUsable } from './handshake/rtc.js'
import type { P2PContext } from '../delivery/signaling.js'

/** Credentials are renewed with a quarter of their life left: a handshake may take its whole deadline. */
const RENEW_SHARE = 0.75
/** Open connections ask no sooner than this, and again after it where the node gave no answer. */
const RETRY_MS = 10_000

/**
 * In the spelling that every stack takes. What is no such URL is left out, for it would fail the whole connection; a
 * node of ours sends none.
 */
export function iceServersOf(p2pServer: string | null, turn: TurnCredentials | null): RTCIceServer[] {
  const read = (given: string[]): string[] => {
    const urls = given.map(parseIceUrl).flatMap((url) => (url.ok ? formatIceUrl(url.value) : []))
    return [...new Set(urls)]
  }
  const servers: RTCIceServer[] = []
  const stun = read(p2pServer === null ? [] : [`stun:${p2pServer}`])
  if (stun[0] !== undefined) servers.push({ urls: stun[0] })
  const urls = read(turn?.urls ?? [])
  if (turn !== null && urls.length > 0)
    servers.push({ urls, username: turn.username, credential: turn.credential })
  return servers
}

function configure(connection: Renewable, iceServers: RTCIceServer[]): void {
  const configuration = connection.getConfiguration()
  withUsable(iceServers, (some) => connection.setConfiguration({ ...configuration, iceServers: some }))
}

/** As much of an RTCPeerConnection as that takes; spelled out, for programs compiled without TypeScript's `dom`. */
interface Renewable {
  readonly connectionState: string
  getConfiguration(): RTCConfiguration
  restartIce(): void
  setConfiguration(configuration: RTCConfiguration): void
}

/** The ICE servers for a new connection, with TURN credentials that still live. */
export class IceServers {
  readonly #context: P2PContext
  readonly #setting: string | null | undefined
  readonly #stop: () => void
  #turn: TurnCredentials | null = null
  #renewAt = 0
  /** Open ones that may look for a new path later, and ask the TURN servers again then. */
  readonly #connections = new Set<Renewable>()
  #timer: Timer | undefined

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
    return iceServersOf(p2pServerOf(this.#setting, this.#context.welcome.p2p), this.#turn)
  }

  /** An ICE restart gathers with the configuration of the connection: its credentials must live as long as it does. */
  keepFresh(connection: Renewable): void {
    // libdatachannel cannot restart ICE.
    if (this.#turn === null || typeof connection.restartIce !== 'function') return
    this.#connections.add(connection)
    this.#timer ??= this.#renewLater()
  }

  close(): void {
    this.#stop()
    this.#timer?.cancel()
    this.#connections.clear()
  }

  #renewLater(): Timer {
    const { clock } = this.#context
    // Credentials that live for a moment only are no reason to ask all the time.
    return clock.after(Math.max(this.#renewAt - clock.now(), RETRY_MS), () => {
      this.#timer = undefined
      this.#renew().catch((error: unknown) => this.#context.onError(error))
    })
  }

  async #renew(): Promise<void> {
    for (const connection of this.#connections)
      if (connection.connectionState === 'closed') this.#connections.delete(connection)
    if (this.#connections.size === 0) return
    const iceServers = await this.current()
    for (const connection of this.#connections)
      if (connection.connectionState !== 'closed') configure(connection, iceServers)
    if (this.#connections.size > 0) this.#timer ??= this.#renewLater()
  }

  #keep(turn: TurnCredentials | null): void {
    this.#turn = turn
    if (turn !== null) this.#renewAt = this.#context.clock.now() + turn.ttlMs * RENEW_SHARE
  }
}
