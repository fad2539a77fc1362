import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock, Ending, Node } from '@peerage/core'
import type { Peer } from '@peerage/protocol'
import { nameOf, parseConnectionId } from '@peerage/protocol'
import { WebSocketServer } from 'ws'
import type { HttpGateway } from '../attach.js'
import type { Access } from '../shared/access.js'
import { mayComeFrom } from '../shared/access.js'
import type { Addresses } from '../shared/address.js'
import { asBase } from '../../config/kinds.js'
import type { Limits } from '../shared/limits.js'
import type { Place } from '../places.js'
import type { GatewayLog, GatewayMetrics } from '../shared/events.js'
import { FrameWriter } from '../shared/frame-writer.js'
import { Heartbeat } from '../shared/heartbeat.js'
import type { PeerJsKeys } from './admit.js'
import type { PeerJsEvents } from './connection.js'
import { OwnedWebSocket, PeerJsConnection } from './connection.js'
import { Drops } from './drops.js'
import { PeerJsEntry } from './entry.js'
import { PeerJsFrames } from './frames.js'
import { PeerJsHttp } from './http.js'
import { decodeCredentials, encodeError, refusals } from './wire.js'
import type { UpgradeRefusal } from '../shared/refuse-upgrade.js'
import { DRAINING, WRONG_ORIGIN, overLimit, refuseUpgrade } from '../shared/refuse-upgrade.js'

/** What `ExpressPeerServer` takes as options, in our words and units; the README has the table. */
export interface PeerJsSettings {
  /** Mount point: the socket is at `{path}/peerjs`, the greeting at `{path}`. */
  path: string
  /** With slashes on both ends: what a GET of it answers is for the rest of the server to say. */
  root: string
  key: PeerJsKeys
  /** The shared key of the access rules, where there is one: it may travel as PeerJS's key. */
  sharedKey: string | null
  /** Peers of this wire on this node; 0: no limit. */
  concurrentLimit: number
  allowDiscovery: boolean
  /** Without any traffic for so long, answers to pings included, the connection ends. */
  aliveMs: number
  /** Origins that may read the HTTP answers; empty: each. */
  cors: readonly string[]
}

/** What an application may pass in beside the settings. */
export interface PeerJsHooks {
  /** What `GET {path}{key}/id` answers; absent: a random UUID. Must be unguessable where ids are no secret otherwise. */
  generateId?: () => string
  /** A PeerJS peer, as `app/id`, has come to this node, or gone from it. Must not throw. */
  onPeer?: (event: 'connection' | 'disconnect', peer: Peer) => void
}

export interface PeerJsGatewayOptions extends PeerJsSettings, PeerJsHooks {
  node: Node
  clock: Clock
  access: Access
  /** Exact origins that may connect; empty: any. */
  origins: readonly string[]
  addresses: Addresses
  limits: Limits
  metrics: GatewayMetrics
  log: GatewayLog
  frameBytes: number
  /** Over so many bytes that wait to be read, the peer is a slow consumer. */
  bufferedBytes: number
  pingIntervalMs: number
  pingTimeoutMs: number
  policy: (app: string) => 'refuse' | 'replace'
  onError: (error: unknown, context: { stage: string }) => void
}

export interface PeerJsGateway extends HttpGateway {
  readonly wire: 'peerjs'
  readonly place: Place
  readonly connections: number
  /** True: this upgrade is ours, and has been answered. Any other is left to whoever else listens. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean
  /** True: this request is ours, and has been or will be answered. */
  handleRequest(request: IncomingMessage, response: ServerResponse): boolean
}

export function createPeerJsGateway(options: PeerJsGatewayOptions): PeerJsGateway {
  return new WebSocketGateway(options)
}

const DRAIN_BATCHES = 10

/**
 * A close frame of the peer's own frees the name: the page was left or reloaded. Who goes while its socket opens can send
 * none, and has not read OPEN [P10].
 */
function howCut({ reason, spoke }: PeerJsConnection): Ending {
  return !spoke && (reason === undefined || reason === 'ping-timeout') ? 'gave-up' : 'dropped'
}

/** The PeerJS wire at `{path}/peerjs`, over ws. SPEC: packages/server/SPEC.md, rules P1…. */
class WebSocketGateway implements PeerJsGateway, PeerJsEvents {
  readonly wire = 'peerjs'
  readonly place: Place
  readonly bufferedBytes: number
  readonly writer: FrameWriter
  readonly #options: PeerJsGatewayOptions
  readonly #socketPath: string
  readonly #wss: WebSocketServer
  readonly #http: PeerJsHttp
  readonly #heartbeat: Heartbeat
  readonly #entry: PeerJsEntry
  readonly #frames: PeerJsFrames
  readonly #drops: Drops
  #serial = 0
  #open = 0

  constructor(options: PeerJsGatewayOptions) {
    this.#options = options
    this.bufferedBytes = options.bufferedBytes
    this.writer = new FrameWriter(options.bufferedBytes, options.clock, options.limits.backlog)
    const { clock, path, aliveMs } = options
    const base = asBase(path)
    this.#socketPath = `${base}peerjs`
    this.place = { path: this.#socketPath, setting: 'peerjs.path' }
    this.#http = new PeerJsHttp({ ...options, base })
    const pingIntervalMs = Math.min(options.pingIntervalMs, Math.ceil((aliveMs * 2) / 3))
    const pingTimeoutMs = Math.min(options.pingTimeoutMs, Math.max(1, aliveMs - pingIntervalMs))
    this.#heartbeat = new Heartbeat({ clock, pingIntervalMs, pingTimeoutMs })
    this.#drops = new Drops(options)
    this.#frames = new PeerJsFrames({ ...options, drops: this.#drops })
    this.#entry = new PeerJsEntry({
      ...options,
      frame: (connection, text) => this.frame(connection, text),
    })
    this.#wss = new WebSocketServer({
      noServer: true,
      WebSocket: OwnedWebSocket,
      maxPayload: options.frameBytes,
      perMessageDeflate: false,
      clientTracking: false,
      // Pings are answered by the connection, within its rate.
      autoPong: false,
    })
  }

  get connections(): number {
    return this.#open
  }

  start(): void {
    this.#heartbeat.start()
  }

  handleRequest(request: IncomingMessage, response: ServerResponse): boolean {
    return this.#http.handle(request, response)
  }

  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    const { node, origins, limits, addresses } = this.#options
    const url = request.url ?? ''
    if (url.split('?', 1)[0] !== this.#socketPath) return false
    const refuse = (refusal: UpgradeRefusal): true => {
      refuseUpgrade(socket, this.wire, refusal, this.#options)
      return true
    }
    const { origin } = request.headers
    if (!mayComeFrom(origins, origin)) return refuse(WRONG_ORIGIN)
    if (node.draining) return refuse(DRAINING)
    const address = addresses.bucketOf(request)
    const over = limits.connect(address)
    if (over) return refuse(overLimit(over))
    // ws answers before it returns, since nothing here verifies later; what it refuses has been no connection.
    let accepted = false
    this.#wss.handleUpgrade(request, socket, head, (ws) => {
      if (!(ws instanceof OwnedWebSocket)) return
      accepted = true
      this.#opened(ws, socket, { url, origin, address })
    })
    if (!accepted) limits.disconnected(address)
    return true
  }

  /** PeerJS has no word for "move": the peers are cut in batches with jitter, and their applications reconnect. */
  async drain(ms: number): Promise<void> {
    const waiting = [...this.#connections()]
    const batch = Math.max(1, Math.ceil(waiting.length / DRAIN_BATCHES))
    for (let from = 0; from < waiting.length; from += batch) {
      for (const connection of waiting.slice(from, from + batch)) connection.close('drain')
      if (from + batch < waiting.length) await this.#pause((ms / DRAIN_BATCHES) * (0.5 + Math.random() / 2))
    }
  }

  stop(): void {
    this.#heartbeat.stop()
    for (const connection of this.#connections()) connection.abandon('drain')
    this.#wss.close()
    this.#drops.stop()
  }

  // What connections tell.

  now(): number {
    return this.#options.clock.monotonic()
  }

  frame(connection: PeerJsConnection, text: string): void {
    const session = this.#options.node.sessions.get(connection.id)
    if (session?.state === 'online') this.#frames.take(connection, session, text)
    else if (session?.state === 'opening' && !connection.keep(text)) {
      this.#drops.dropped('too-many', { text: 'frames before the name was claimed' })
      connection.close('rate-limited')
    }
  }

  fault(connection: PeerJsConnection, error: Error): void {
    const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name
    const { frameBytes } = this.#options
    this.#drops.dropped('fault', {
      code,
      text: error.message,
      name: connection.peer && nameOf(connection.peer),
      frameBytes,
    })
  }

  extra(connection: PeerJsConnection): boolean {
    return !this.#frames.isOver(connection, 0)
  }

  slow(connection: PeerJsConnection): void {
    connection.abandon('slow-consumer')
  }

  silent(connection: PeerJsConnection): void {
    connection.abandon('ping-timeout')
  }

  ended(connection: PeerJsConnection, code: number): void {
    const { node, limits, metrics, onError } = this.#options
    this.#open--
    limits.disconnected(connection.address)
    this.#heartbeat.delete(connection)
    this.#entry.left(connection)
    const cut = connection.reason !== undefined || (code === 1006 && !connection.faulty)
    metrics.closed('peerjs', connection.reason ?? (cut ? 'cut' : 'by-peer'))
    node
      .end(connection.id, cut ? howCut(connection) : 'left')
      .catch((error: unknown) => onError(error, { stage: 'end' }))
  }

  *#connections(): IterableIterator<PeerJsConnection> {
    for (const { connection } of this.#options.node.sessions.all())
      if (connection instanceof PeerJsConnection) yield connection
  }

  // From socket to name.

  #opened(
    ws: OwnedWebSocket,
    stream: Duplex,
    arrival: { url: string; origin: string | undefined; address: string },
  ): void {
    const { node, metrics, onError } = this.#options
    metrics.connected('peerjs')
    this.#serial++
    // The native wire counts in base 36 without a leading zero.
    const id = parseConnectionId(`0${this.#serial.toString(36)}`)
    if (!id.ok) throw new Error(id.problem)
    const connection = new PeerJsConnection(id.value, ws, stream, arrival.address, this)
    this.#open++
    this.#heartbeat.add(connection)
    node.open(connection)
    const credentials = decodeCredentials(arrival.url)
    const { origin, address } = arrival
    const answered =
      credentials === undefined
        ? this.#entry.refuse(connection, encodeError(refusals.parameters), 'parameters')
        : this.#entry.enter(connection, { credentials, origin, address })
    answered.catch((error: unknown) => {
      onError(error, { stage: 'claim' })
      connection.close('internal')
    })
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.after(ms, resolve))
  }
}
