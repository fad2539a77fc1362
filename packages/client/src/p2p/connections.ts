import type { TurnCredentials } from '@peerage/protocol'
import { formatIceUrl, parseIceUrl } from '@peerage/protocol'
import type { Timer } from '../lib/clock.js'
import { makeStreams } from './channel/streams.js'
import type { Streams } from './channel/streams.js'
import type { AnyPeerConnectionClass, P2PContext, P2POptions, PeerConnectionClass, Terms } from './options.js'
import { relayProblem } from './relay-only.js'

/** A connection before its handshake: it has described nothing, so it has opened no socket and asked no server. */
export interface Blank {
  connection: RTCPeerConnection
  /** What a handshake begins with, where it was made ahead. */
  streams?: Streams
  offer?: RTCSessionDescriptionInit
}

/** Made ahead, for handshakes of one configuration and the same terms. */
interface Spare extends Blank {
  kind: string
}

interface Found {
  PeerConnection: PeerConnectionClass
  iceServers: RTCIceServer[]
  /** Why `relayOnly` cannot be kept with these. */
  problem: string | undefined
}

type Context = Pick<P2PContext, 'clock' | 'platform' | 'onError'>
type Servers = Pick<IceServers, 'current' | 'keepFresh' | 'close'>
type Options = Pick<P2POptions, 'RTCPeerConnection' | 'relayOnly'>

/** By then the one that was taken is through with its offer or answer: making another takes milliseconds, too. */
const SPARE_MS = 100

/** Makes connections with the ICE servers of the moment; in a browser, one ahead, for that is a fifth of a fast call. */
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
    this.#spareLater({ label: '', ordered: true })
  }

  /** @throws when there is no WebRTC here, or `relayOnly` cannot be kept */
  async take(terms: Terms): Promise<Blank> {
    const blank = await this.#make(terms)
    // The next channel is most likely of the same terms.
    this.#spareLater(terms)
    this.#ice.keepFresh(blank.connection)
    return blank
  }

  /** Why `relayOnly` cannot be kept here and now, and what to do; undefined: it can, or nobody asked for it. */
  async problem(): Promise<string | undefined> {
    if (this.#options.relayOnly !== true) return undefined
    try {
      return (await this.found()).problem
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

  /** What a connection is made with now. Rejects when there is no WebRTC here. */
  async found(): Promise<Found> {
    const { RTCPeerConnection, relayOnly } = this.#options
    const PeerConnection =
      givenClass(RTCPeerConnection) ?? (await this.#context.platform.findPeerConnection())
    const iceServers = await this.#ice.current()
    const problem = relayOnly ? relayProblem(PeerConnection, iceServers) : undefined
    return { PeerConnection, iceServers, problem }
  }

  /** The spare one where it fits. */
  async #make(terms: Terms): Promise<Spare> {
    const { relayOnly } = this.#options
    const { PeerConnection, iceServers, problem } = await this.found()
    // Here once more: no connection comes about past this.
    if (problem !== undefined) throw new Error(problem)
    const configuration: RTCConfiguration = { iceServers, iceTransportPolicy: relayOnly ? 'relay' : 'all' }
    const kind = JSON.stringify([configuration, terms])
    const spare = this.#spare
    this.#spare = undefined
    if (spare?.kind === kind) return spare
    spare?.connection.close()
    return { kind, connection: newConnection(PeerConnection, configuration) }
  }

  /** Browsers alone: an idle Node process should hold nothing, and of another class nobody knows what it costs. */
  #spareLater(terms: Terms): void {
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
    return iceServersOf(this.#setting ?? this.#context.welcome.p2p.server, this.#turn)
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

/** What an application has passed in. What its types do not tell, its stack's tests do (docs/stacks.md). */
export function givenClass(given: AnyPeerConnectionClass | undefined): PeerConnectionClass | undefined {
  return given as PeerConnectionClass | undefined
}

/**
 * What `use` gives for these servers, or, where it throws, for those of them that it takes alone: a stack may know
 * fewer URLs, ports and transports than others, and one that it does not take must not cost the others.
 * @throws what `use` throws without any server
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

/** A connection with those of its ICE servers that the stack can use. */
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
