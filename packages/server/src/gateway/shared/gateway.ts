import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock, Ending, Node, OnError, Wire } from '@peerage/core'
import type { ConnectionId } from '@peerage/protocol'
import { WebSocketServer } from 'ws'
import { pause } from '../../lib/pause.js'
import type { HttpGateway, Place } from '../http-gateway.js'
import type { Access } from './access.js'
import { mayComeFrom } from './access.js'
import type { Addresses } from './address.js'
import type { ConnectionHost } from './connection.js'
import { OwnedWebSocket, WebSocketConnection } from './connection.js'
import type { GatewayLog, GatewayMetrics } from './events.js'
import { FrameWriter } from './frame-writer.js'
import { Heartbeat } from './heartbeat.js'
import type { Limits } from './limits.js'
import type { UpgradeRefusal } from './refuse-upgrade.js'
import { DRAINING, DRAIN_RETRY_MS, WRONG_ORIGIN, overLimit, refuseUpgrade } from './refuse-upgrade.js'

/** What every gateway is given. */
export interface GatewayOptions {
  node: Node
  clock: Clock
  access: Access
  /** Exact origins that may connect; empty: any. */
  origins: readonly string[]
  addresses: Addresses
  limits: Limits
  metrics: GatewayMetrics
  log: GatewayLog
  /** What becomes of a claim whose name is held, where the peer has proven who it is. */
  policy: (app: string) => 'refuse' | 'replace'
  onError: OnError
}

export interface SocketOptions {
  pingIntervalMs: number
  pingTimeoutMs: number
  /** No frame of a peer is longer. */
  frameBytes: number
  /** Over so many bytes that wait to be read, the peer is a slow consumer. */
  bufferedBytes: number
}

/** What sets one wire apart from the others of a node. */
export interface WireOptions extends SocketOptions {
  wire: Wire
  place: Place
}

/** How a peer came, as its connection is made of it. */
export interface Arrival {
  id: ConnectionId
  socket: OwnedWebSocket
  /** What the WebSocket runs on. */
  stream: Duplex
  request: IncomingMessage
  /** What limits count it by. */
  address: string
}

const DRAIN_BATCHES = 10
/** RFC 6455 §7.1.5: the connection ended without a close frame. */
const NO_CLOSE_FRAME = 1006

/**
 * A wire over WebSockets: who may connect, its connections, their heartbeat, and how all of them end. What its frames
 * mean is for the wire to say: it makes the connections.
 */
export abstract class WebSocketGateway<C extends WebSocketConnection> implements HttpGateway, ConnectionHost {
  readonly wire: Wire
  readonly place: Place
  readonly clock: Clock
  readonly limits: Limits
  readonly writer: FrameWriter
  readonly metrics: GatewayMetrics
  readonly bufferedBytes: number
  readonly #options: GatewayOptions
  readonly #wss: WebSocketServer
  readonly #heartbeat: Heartbeat
  #open = 0

  constructor(options: GatewayOptions, wire: WireOptions) {
    const { clock, limits } = options
    this.#options = options
    this.wire = wire.wire
    this.place = wire.place
    this.clock = clock
    this.metrics = options.metrics
    this.limits = limits
    this.bufferedBytes = wire.bufferedBytes
    this.writer = new FrameWriter(wire.bufferedBytes, clock, limits.backlog)
    this.#heartbeat = new Heartbeat({ clock, ...wire })
    this.#wss = new WebSocketServer({
      noServer: true,
      WebSocket: OwnedWebSocket,
      maxPayload: wire.frameBytes,
      perMessageDeflate: false,
      clientTracking: false,
      // Pings are answered by the connection, within its rate.
      autoPong: false,
    })
  }

  protected abstract connectionOf(arrival: Arrival): C

  /**
   * A connection is open, and counted. What is written to it at once leaves with the answer to its upgrade. It is for the
   * wire to claim a name for it (`node.claim`): the node closes who has none in time.
   */
  protected abstract opened(connection: C, arrival: Arrival): void

  /** How a peer ended whose connection is over. `wasCut`: by the node or by the network, and not by the peer. */
  protected abstract endingOf(connection: WebSocketConnection, wasCut: boolean): Ending

  /** Whether upgrades come in at this path. */
  protected takesPath(path: string): boolean {
    return path === this.place.path
  }

  /** Why a request for this path speaks something else. */
  protected misfit(_query: string): UpgradeRefusal | undefined {
    return undefined
  }

  /** Open connections now. */
  get connections(): number {
    return this.#open
  }

  start(): void {
    this.#heartbeat.start()
  }

  /** True: this upgrade is ours, and has been answered. Any other is left to whoever else listens. */
  handleUpgrade(request: IncomingMessage, stream: Duplex, head: Buffer): boolean {
    const url = request.url ?? ''
    const end = url.indexOf('?')
    if (!this.takesPath(end < 0 ? url : url.slice(0, end))) return false
    const address = this.#options.addresses.bucketOf(request)
    const refusal = this.misfit(end < 0 ? '' : url.slice(end)) ?? this.#refusalOf(request, address)
    if (refusal !== undefined) {
      refuseUpgrade(stream, this.wire, refusal, this.#options)
      return true
    }
    // ws answers before it returns, since nothing here verifies later; what it refuses has been no connection.
    let isAccepted = false
    stream.cork()
    this.#wss.handleUpgrade(request, stream, head, (socket) => {
      if (!(socket instanceof OwnedWebSocket)) return
      isAccepted = true
      this.#accept({ id: this.#options.node.sessions.newId(), socket, stream, request, address })
    })
    stream.uncork()
    if (!isAccepted) this.limits.disconnected(address)
    return true
  }

  #refusalOf({ headers }: IncomingMessage, address: string): UpgradeRefusal | undefined {
    if (!mayComeFrom(this.#options.origins, headers.origin)) return WRONG_ORIGIN
    if (this.#options.node.draining) return DRAINING
    const over = this.limits.connect(address)
    return over && overLimit(over)
  }

  #accept(arrival: Arrival): void {
    this.metrics.connected(this.wire)
    const connection = this.connectionOf(arrival)
    this.#open++
    this.#heartbeat.add(connection)
    this.#options.node.open(connection)
    this.opened(connection, arrival)
    this.writer.flush(arrival.stream)
  }

  /** For connections only. */
  ended(connection: WebSocketConnection, code: number): void {
    const { node, metrics, onError } = this.#options
    this.#open--
    this.limits.disconnected(connection.address)
    this.#heartbeat.delete(connection)
    const wasCut = connection.reason !== undefined || (code === NO_CLOSE_FRAME && !connection.isFaulty)
    metrics.closed(this.wire, connection.reason ?? (wasCut ? 'cut' : 'by-peer'))
    node
      .end(connection.id, this.endingOf(connection, wasCut))
      .catch((error: unknown) => onError(error, { stage: 'end' }))
  }

  /**
   * Closes the connections in batches with jitter, so that the other nodes are not hit at once. A wire that has a word for
   * it tells each peer when to come again, at random: the first tries of a batch spread over that time.
   */
  async drain(ms: number): Promise<void> {
    const waiting = [...this.#connections()]
    const batch = Math.max(1, Math.ceil(waiting.length / DRAIN_BATCHES))
    for (let from = 0; from < waiting.length; from += batch) {
      for (const connection of waiting.slice(from, from + batch))
        connection.close('drain', Math.round(Math.random() * DRAIN_RETRY_MS))
      if (from + batch < waiting.length)
        await pause(this.clock, (ms / DRAIN_BATCHES) * (0.5 + Math.random() / 2))
    }
  }

  stop(): void {
    this.#heartbeat.stop()
    for (const connection of this.#connections()) connection.abandon('drain')
    this.#wss.close()
  }

  // The node knows them: a set of our own would be memory for every idle peer.
  *#connections(): IterableIterator<WebSocketConnection> {
    for (const { connection } of this.#options.node.sessions.all())
      if (connection.wire === this.wire && connection instanceof WebSocketConnection) yield connection
  }
}
