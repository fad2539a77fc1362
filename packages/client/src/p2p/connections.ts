import type { Timer } from '../lib/clock.js'
import type { Terms } from './handshake/handshake-signal.js'
import type { IceServers } from './ice-servers.js'
import type { P2POptions } from './p2p.js'
import { relayProblem } from './handshake/relay-only.js'
import type { PeerConnectionClass } from './handshake/rtc.js'
import { givenClass, newConnection } from './handshake/rtc.js'
import type { P2PContext } from '../delivery/signaling.js'
import type { Streams } from './channel/streams.js'
import { makeStreams } from './channel/streams.js'

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

type Context = Pick<P2PContext, 'clock' | 'platform' | 'onError'>
type Servers = Pick<IceServers, 'current' | 'keepFresh'>
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
      const { PeerConnection, iceServers } = await this.#found()
      return relayProblem(PeerConnection, iceServers)
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#spare?.connection.close()
  }

  async #found(): Promise<{ PeerConnection: PeerConnectionClass; iceServers: RTCIceServer[] }> {
    const { RTCPeerConnection } = this.#options
    const PeerConnection =
      givenClass(RTCPeerConnection) ?? (await this.#context.platform.findPeerConnection())
    return { PeerConnection, iceServers: await this.#ice.current() }
  }

  /** The spare one where it fits. */
  async #make(terms: Terms): Promise<Spare> {
    const { relayOnly } = this.#options
    const { PeerConnection, iceServers } = await this.#found()
    // Here once more: no connection comes about past this.
    const problem = relayOnly ? relayProblem(PeerConnection, iceServers) : undefined
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
