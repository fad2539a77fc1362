import type { TurnCredentials } from '@peerage/protocol'
import { formatIceUrl, parseIceUrl } from '@peerage/protocol'
import type { Timer } from '../lib/clock.js'
import { makeStreams } from './channel/streams.js'
import type { Streams } from './channel/streams.js'
import type { AnyPeerConnectionClass, P2PContext, P2POptions, PeerConnectionClass, Terms } from './options.js'
import { relayProblem } from './relay-only.js'

/** A connection before its handshake. It has no description yet, so it has opened no socket and contacted no server. */
export interface FreshConnection {
  connection: RTCPeerConnection
  /** The streams and the offer, if the connection was made ahead. */
  streams?: Streams
  offer?: RTCSessionDescriptionInit
}

/** A connection that was made in advance. It fits handshakes with the same configuration and terms, which are its `key`. */
interface Spare extends FreshConnection {
  key: string
}

interface Setup {
  PeerConnection: PeerConnectionClass
  iceServers: RTCIceServer[]
  /** Why this class and these servers cannot keep `relayOnly`; undefined if they can, or if it is off. */
  problem: string | undefined
}

type Context = Pick<P2PContext, 'clock' | 'platform' | 'onError'>
type Servers = Pick<IceServers, 'current' | 'keepFresh' | 'close'>
type Options = Pick<P2POptions, 'RTCPeerConnection' | 'relayOnly'>

/** Making a spare takes milliseconds, so we wait until the connection just taken has made its offer or answer. */
const SPARE_MS = 100

/**
 * Makes connections with the current ICE servers. In a browser it makes one connection ahead, because making one takes a
 * fifth of the time of a fast call.
 */
export class Connections {
  readonly #context: Context
  readonly #ice: Servers
  readonly #options: Options
  #spare: Spare | undefined
  #timer: Timer | undefined
  #closed = false

  constructor(context: Context, ice: Servers, options: Options) {
    this.#context = context
    this.#ice = ice
    this.#options = options
    this.#makeSpareLater({ label: '', ordered: true })
  }

  /** @throws if there is no WebRTC here, or if `relayOnly` cannot be kept */
  async take(terms: Terms): Promise<FreshConnection> {
    const fresh = await this.#make(terms)
    // The next channel most likely has the same terms.
    this.#makeSpareLater(terms)
    this.#ice.keepFresh(fresh.connection)
    return fresh
  }

  /** Why `relayOnly` cannot be kept now, and what to do. Undefined if it can be kept, or if it is off. */
  async problem(): Promise<string | undefined> {
    if (this.#options.relayOnly !== true) return undefined
    try {
      return (await this.setup()).problem
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#spare?.connection.close()
    this.#ice.close()
  }

  /** The class and the ICE servers for a connection made now. Rejects if there is no WebRTC here. */
  async setup(): Promise<Setup> {
    const { RTCPeerConnection, relayOnly } = this.#options
    const PeerConnection =
      givenClass(RTCPeerConnection) ?? (await this.#context.platform.findPeerConnection())
    const iceServers = await this.#ice.current()
    const problem = relayOnly ? relayProblem(PeerConnection, iceServers) : undefined
    return { PeerConnection, iceServers, problem }
  }

  /** Returns the spare if it fits, else a new connection. */
  async #make(terms: Terms): Promise<Spare> {
    const { relayOnly } = this.#options
    const { PeerConnection, iceServers, problem } = await this.setup()
    // Callers check this earlier. We check again here because every connection is made here.
    if (problem !== undefined) throw new Error(problem)
    const configuration: RTCConfiguration = { iceServers, iceTransportPolicy: relayOnly ? 'relay' : 'all' }
    const key = JSON.stringify([configuration, terms])
    const spare = this.#spare
    this.#spare = undefined
    if (spare?.key === key) return spare
    spare?.connection.close()
    return { key, connection: newConnection(PeerConnection, configuration) }
  }

  /**
   * Only in browsers, because an idle Node process should hold no connection, and the cost of a passed-in class is
   * unknown.
   */
  #makeSpareLater(terms: Terms): void {
    if (this.#options.RTCPeerConnection || !globalThis.RTCPeerConnection) return
    const { clock } = this.#context
    this.#timer?.cancel()
    this.#timer = clock.after(SPARE_MS, () => {
      this.#makeSpare(terms).catch((error: unknown) => this.#context.onError(error))
    })
  }

  async #makeSpare(terms: Terms): Promise<void> {
    if ((await this.problem()) !== undefined) return
    const spare = await this.#make(terms)
    const { connection } = spare
    spare.streams ??= makeStreams(connection, terms, this.#context.clock)
    spare.offer ??= await connection.createOffer()
    if (this.#closed || this.#spare) connection.close()
    else this.#spare = spare
  }
}

/** We renew credentials when a quarter of their life is left, because a handshake may take its whole deadline. */
const RENEW_SHARE = 0.75
/** The shortest time between two requests for credentials, also when the node gave no answer. */
const RETRY_MS = 10_000

/**
 * ICE servers for WebRTC, each URL once and in the spelling that every stack accepts. A malformed URL is left out,
 * because it would fail the whole connection. A Peerage node sends no malformed URL.
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

/**
 * The members of RTCPeerConnection that renewing credentials uses. They are written out here for programs that are
 * compiled without TypeScript's `dom` library.
 */
interface Renewable {
  readonly connectionState: string
  getConfiguration(): RTCConfiguration
  restartIce(): void
  setConfiguration(configuration: RTCConfiguration): void
}

/** The ICE servers for new connections, with TURN credentials that have not expired. */
export class IceServers {
  readonly #context: P2PContext
  readonly #setting: string | null | undefined
  readonly #stop: () => void
  #turn: TurnCredentials | null = null
  #renewAt = 0
  /** Connections that may restart ICE later, and then need valid TURN credentials. */
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
    return iceServersOf(this.#setting ?? this.#context.welcome.p2p.server, this.#turn)
  }

  /**
   * An ICE restart gathers candidates with the configuration of its connection, so we renew the credentials in it until
   * it closes.
   */
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
    // RETRY_MS bounds the requests even if the credentials expire sooner than that.
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
      if (connection.connectionState !== 'closed')
        withUsable(iceServers, (usable) =>
          connection.setConfiguration({ ...connection.getConfiguration(), iceServers: usable }),
        )
    if (this.#connections.size > 0) this.#timer ??= this.#renewLater()
  }

  #keep(turn: TurnCredentials | null): void {
    this.#turn = turn
    if (turn !== null) this.#renewAt = this.#context.clock.now() + turn.ttlMs * RENEW_SHARE
  }
}

/**
 * The class that the application passed in, as the browser's type. The types of other stacks differ from it; tests with
 * each stack show that they work (docs/stacks.md).
 */
export function givenClass(given: AnyPeerConnectionClass | undefined): PeerConnectionClass | undefined {
  return given as PeerConnectionClass | undefined
}

/**
 * Calls `use` with all servers. If that throws, tries each URL alone and calls `use` with the accepted ones: a stack may
 * refuse some URLs, ports or transports, and one refused URL must not disable the others.
 * @throws what `use` throws when it gets no server at all
 */
export function withUsable<T>(
  servers: readonly RTCIceServer[],
  use: (servers: RTCIceServer[]) => T,
  dispose: (result: T) => void = () => undefined,
): T {
  try {
    return use([...servers])
  } catch {
    const each = servers.flatMap((server) => [server.urls].flat().map((urls) => ({ ...server, urls })))
    return use(
      each.filter((server) => {
        try {
          dispose(use([server]))
          return true
        } catch {
          return false
        }
      }),
    )
  }
}

/** Makes a connection with the ICE servers that the stack accepts. */
export function newConnection(
  PeerConnection: PeerConnectionClass,
  configuration: RTCConfiguration,
): RTCPeerConnection {
  return withUsable(
    configuration.iceServers ?? [],
    (iceServers) => new PeerConnection({ ...configuration, iceServers }),
    (connection) => connection.close(),
  )
}
