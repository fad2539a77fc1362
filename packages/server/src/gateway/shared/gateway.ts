import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock, Ending, Node, OnError, Wire } from '@peerage/core'
import type { ConnectionId } from '@peerage/protocol'
import { WebSocketServer } from 'ws'
import type { AppBudgets } from '../../apps/budgets.js'
import type { AppPolicies } from '../../apps/policy.js'
import { pause } from '../../lib/pause.js'
import type { Endpoint, HttpGateway } from '../http-gateway.js'
import type { CheckedAccess } from './access.js'
import { AccessEnds } from './access-ends.js'
import type { Addresses } from './address.js'
import type { RevocationCheck } from './claimer.js'
import { leaveApp } from './claimer.js'
import type { ConnectionHost } from './connection.js'
import { WebSocketConnection } from './connection.js'
import type { GatewayLog, GatewayMetrics, OnRefused } from './events.js'
import { FrameWriter } from './frame-writer.js'
import { Heartbeat } from './heartbeat.js'
import { LateCloses } from './late-closes.js'
import type { Limits } from './limits.js'
import { OwnedWebSocket } from './owned-web-socket.js'
import type { UpgradeRefusal } from './refuse-upgrade.js'
import { splitUrl } from './url-credentials.js'
import { DRAINING, DRAIN_RETRY_MS, WRONG_ORIGIN, overLimit, refuseUpgrade } from './refuse-upgrade.js'

/** What every gateway needs from its node. */
export interface GatewayOptions {
  node: Node
  clock: Clock
  /** The apps that are served, and their rules. */
  apps: AppPolicies
  /** An application's own rules, which replace the access rules of every app. */
  access?: CheckedAccess | undefined
  budgets: AppBudgets
  /** Absent: nothing can be banned or revoked. */
  revocations?: RevocationCheck | undefined
  addresses: Addresses
  limits: Limits
  metrics: GatewayMetrics
  log: GatewayLog
  onRefused: OnRefused
  onError: OnError
}

export interface SocketOptions {
  pingIntervalMs: number
  pingTimeoutMs: number
  /** The longest frame that a peer may send. */
  frameBytes: number
  /** When more bytes than this wait to be read, the peer is a slow consumer. */
  bufferedBytes: number
}

/** What distinguishes one wire of a node from the others. */
export interface WireOptions extends SocketOptions {
  wire: Wire
  endpoint: Endpoint
}

/** An accepted upgrade, from which a connection is made. */
export interface Arrival {
  id: ConnectionId
  socket: OwnedWebSocket
  /** The TCP or TLS socket below the WebSocket. */
  stream: Duplex
  request: IncomingMessage
  /** The address that limits count this peer by. */
  address: string
}

const DRAIN_BATCHES = 10
/** How long a drain waits for the ends of sockets that it has closed. A peer answers a close frame within a round trip. */
const ENDING_MS = 2_000
/** RFC 6455 §7.1.5: the code that stands for a connection that ended without a close frame. */
const NO_CLOSE_FRAME = 1006

/**
 * A wire over WebSockets: who may connect, the open connections, their heartbeat, and how they end. A subclass makes the
 * connections, and they know what the frames mean.
 */
export abstract class WebSocketGateway<C extends WebSocketConnection> implements HttpGateway, ConnectionHost {
  readonly wire: Wire
  readonly endpoint: Endpoint
  readonly clock: Clock
  readonly limits: Limits
  readonly writer: FrameWriter
  readonly metrics: GatewayMetrics
  /** Whether a drain closes these connections last, because their clients do not come back. */
  readonly drainsLast: boolean = false
  readonly bufferedBytes: number
  readonly #options: GatewayOptions
  readonly #wss: WebSocketServer
  readonly #heartbeat: Heartbeat
  /** Ends the connections whose access tokens end. */
  readonly accessEnds: AccessEnds
  /** Closes connections later. */
  readonly lateCloses: LateCloses
  #open = 0
  /** Called when the last connection has ended. */
  #noneLeft = (): void => {}

  constructor(options: GatewayOptions, wire: WireOptions) {
    const { clock, limits } = options
    this.#options = options
    this.wire = wire.wire
    this.endpoint = wire.endpoint
    this.clock = clock
    this.metrics = options.metrics
    this.limits = limits
    this.bufferedBytes = wire.bufferedBytes
    this.writer = new FrameWriter(wire.bufferedBytes, clock, limits.backlog)
    this.#heartbeat = new Heartbeat({ clock, ...wire })
    this.accessEnds = new AccessEnds(clock)
    this.lateCloses = new LateCloses(clock)
    this.#wss = new WebSocketServer({
      noServer: true,
      WebSocket: OwnedWebSocket,
      maxPayload: wire.frameBytes,
      perMessageDeflate: false,
      clientTracking: false,
      // The connection answers pings itself, so that they count against its rate.
      autoPong: false,
    })
  }

  protected abstract connectionOf(arrival: Arrival): C

  /**
   * Called when a connection is open and counted. Frames written during this call leave together with the answer to the
   * upgrade. The subclass then claims a name (`node.claim`). The node closes connections that get no name in time.
   */
  protected abstract opened(connection: C, arrival: Arrival): void

  /** How the session of an ended connection ends. `wasCut`: the node or the network ended it, not the peer. */
  protected abstract endingOf(connection: WebSocketConnection, wasCut: boolean): Ending

  /** Whether this gateway takes upgrades at the path. */
  protected takesPath(path: string): boolean {
    return path === this.endpoint.path
  }

  /** Why an upgrade with this path and query (with its `?`, or empty) cannot be served. Undefined if it can. */
  protected refusalOfUrl(_path: string, _query: string): UpgradeRefusal | undefined {
    return undefined
  }

  /** How many connections are open now. */
  get connections(): number {
    return this.#open
  }

  start(): void {
    this.#heartbeat.start()
  }

  /** Returns true when the upgrade is ours and has been answered. Any other upgrade is left to other listeners. */
  handleUpgrade(request: IncomingMessage, stream: Duplex, head: Buffer): boolean {
    const { path, query } = splitUrl(request.url)
    if (!this.takesPath(path)) return false
    const address = this.#options.addresses.bucketOf(request)
    const refusal = this.refusalOfUrl(path, query) ?? this.#refusalOf(request, address)
    if (refusal !== undefined) {
      refuseUpgrade(stream, this.wire, refusal, this.#options)
      return true
    }
    // We pass ws no asynchronous check, so it accepts or refuses before it returns. A refused upgrade does not count as a connection.
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
    const { apps, onRefused } = this.#options
    if (!apps.mayConnect(headers.origin)) {
      const { reason, detail } = WRONG_ORIGIN
      onRefused({ wire: this.wire, code: reason, detail, origin: headers.origin })
      return WRONG_ORIGIN
    }
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

  /** Connections call this once, when they have ended. */
  ended(connection: WebSocketConnection, code: number): void {
    const { node, metrics, onError } = this.#options
    this.#open--
    this.limits.disconnected(connection.address)
    this.#heartbeat.delete(connection)
    this.accessEnds.delete(connection)
    this.lateCloses.delete(connection)
    leaveApp(connection)
    const wasCut = connection.reason !== undefined || (code === NO_CLOSE_FRAME && !connection.isFaulty)
    metrics.closed(this.wire, connection.reason ?? (wasCut ? 'cut' : 'by-peer'))
    node
      .end(connection.id, this.endingOf(connection, wasCut))
      .catch((error: unknown) => onError(error, { stage: 'end' }))
    if (this.#open === 0) this.#noneLeft()
  }

  /**
   * Closes the connections in batches with jitter, so that not all peers reach the other nodes at once. On a wire that can
   * say when to come back, each peer gets a random time, so that the first retries of a batch are spread too. Resolves when
   * all connections have ended, so that the node can tell other nodes of it before it stops.
   */
  async drain(ms: number): Promise<void> {
    const until = this.clock.monotonic() + ms
    const waiting = [...this.#connections()]
    const batch = Math.max(1, Math.ceil(waiting.length / DRAIN_BATCHES))
    for (let from = 0; from < waiting.length; from += batch) {
      for (const connection of waiting.slice(from, from + batch))
        connection.close('drain', { retryAfterMs: Math.round(Math.random() * DRAIN_RETRY_MS) })
      if (from + batch < waiting.length)
        await pause(this.clock, (ms / DRAIN_BATCHES) * (0.5 + Math.random() / 2))
    }
    await this.#allEnded(Math.min(ENDING_MS, until - this.clock.monotonic()))
  }

  /** Resolves when the last connection has ended, or after `ms`. */
  #allEnded(ms: number): Promise<void> {
    if (this.#open === 0 || ms <= 0) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = this.clock.after(ms, resolve)
      this.#noneLeft = () => {
        timer.cancel()
        resolve()
      }
    })
  }

  stop(): void {
    this.#heartbeat.stop()
    this.accessEnds.stop()
    this.lateCloses.stop()
    for (const connection of this.#connections()) connection.abandon('drain')
    this.#wss.close()
  }

  // The node knows the connections. A set of our own would cost memory for every idle peer.
  *#connections(): IterableIterator<WebSocketConnection> {
    for (const { connection } of this.#options.node.sessions.all())
      if (connection.wire === this.wire && connection instanceof WebSocketConnection) yield connection
  }
}
