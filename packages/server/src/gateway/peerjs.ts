import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type {
  ClaimOutcome,
  ClaimRequest,
  Clock,
  Gateway,
  Message,
  Node,
  OnlineSession,
  Outcome,
} from '@peerage/core'
import type { ErrorCode, Peer } from '@peerage/protocol'
import { appOf, errors, nameOf, parseConnectionId, parseName, peerOf } from '@peerage/protocol'
import { WebSocketServer } from 'ws'
import type { Access } from '../access.js'
import { mayComeFrom } from '../access.js'
import type { Addresses } from '../address.js'
import { bucketOf } from '../address.js'
import type { Limits } from '../limits.js'
import { TokenBucket } from '../limits.js'
import type { GatewayLog, GatewayMetrics } from './events.js'
import { Heartbeat } from './heartbeat.js'
import type { Arrival, PeerJsKeys } from './peerjs-admit.js'
import { admitPeerJs } from './peerjs-admit.js'
import type { PeerJsEvents } from './peerjs-connection.js'
import { OwnedWebSocket, PeerJsConnection, WANTS_EXPIRE } from './peerjs-connection.js'
import { Drops } from './peerjs-drops.js'
import { PeerJsHttp } from './peerjs-http.js'
import { Pairs } from './peerjs-pairs.js'
import type { PeerFrame } from './peerjs-wire.js'
import {
  ID_TAKEN_FRAME,
  OPEN_FRAME,
  decodeCredentials,
  decodePeerFrame,
  encodeError,
  refusals,
} from './peerjs-wire.js'

/** What `ExpressPeerServer` takes as options, in our words and units; the README has the table. */
export interface PeerJsSettings {
  /** Mount point: the socket is at `{path}/peerjs`, the greeting at `{path}`. */
  path: string
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

export interface PeerJsGateway extends Gateway {
  readonly wire: 'peerjs'
  readonly connections: number
  /** True: this upgrade is ours, and has been answered. Any other is left to whoever else listens. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean
  /** True: this request is ours, and has been or will be answered. */
  handleRequest(request: IncomingMessage, response: ServerResponse): boolean
}

export function createPeerJsGateway(options: PeerJsGatewayOptions): PeerJsGateway {
  return new WebSocketGateway(options)
}

/** A reload frees its id by a close frame, which may reach another node than the new claim: that long is it waited for. */
const TAKEN_RETRIES_MS = [50, 150, 400]
/** A flood of claims for one held name must not become four floods. */
const RETRYING_MOST = 100
/** A peer over its failures waits so long for its answer: its socket is open meanwhile, so not for ever. */
const SLOWED_MOST_MS = 2_000
const DRAIN_BATCHES = 10

type RelayFrame = Extract<PeerFrame, { type: 'relay' }>

/** The PeerJS wire at `{path}/peerjs`, over ws. SPEC: packages/server/SPEC.md, rules P1…. */
class WebSocketGateway implements PeerJsGateway, PeerJsEvents {
  readonly wire = 'peerjs'
  readonly bufferedBytes: number
  readonly #options: PeerJsGatewayOptions
  readonly #socketPath: string
  readonly #wss: WebSocketServer
  readonly #http: PeerJsHttp
  readonly #heartbeat: Heartbeat
  readonly #pairs: Pairs
  readonly #drops: Drops
  readonly #connections = new Set<PeerJsConnection>()
  #serial = 0
  /** Connections that hold a name or are about to: what the concurrent limit counts. */
  #admitted = 0
  #retrying = 0

  constructor(options: PeerJsGatewayOptions) {
    this.#options = options
    this.bufferedBytes = options.bufferedBytes
    const { node, clock, path, aliveMs, onError } = options
    const base = path.endsWith('/') ? path : `${path}/`
    this.#socketPath = `${base}peerjs`
    this.#http = new PeerJsHttp({ ...options, base })
    const pingIntervalMs = Math.min(options.pingIntervalMs, Math.ceil((aliveMs * 2) / 3))
    const pingTimeoutMs = Math.min(options.pingTimeoutMs, Math.max(1, aliveMs - pingIntervalMs))
    this.#heartbeat = new Heartbeat({ clock, pingIntervalMs, pingTimeoutMs })
    this.#drops = new Drops(options)
    this.#pairs = new Pairs({
      router: node.router,
      clock,
      settled: (message, outcome, ms) => this.#settled(message, outcome, ms),
      dropped: (message) => this.#overflowed(message),
      onError,
    })
    this.#wss = new WebSocketServer({
      noServer: true,
      WebSocket: OwnedWebSocket,
      maxPayload: options.frameBytes,
      perMessageDeflate: false,
      clientTracking: false,
    })
  }

  get connections(): number {
    return this.#connections.size
  }

  start(): void {
    this.#heartbeat.start()
  }

  handleRequest(request: IncomingMessage, response: ServerResponse): boolean {
    return this.#http.handle(request, response)
  }

  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    const { origins, limits, metrics, addresses } = this.#options
    const url = request.url ?? ''
    if (url.split('?', 1)[0] !== this.#socketPath) return false
    const { origin } = request.headers
    if (!mayComeFrom(origins, origin)) {
      metrics.rejected('peerjs', 'origin')
      refuseUpgrade(socket, '403 Forbidden', 'this origin may not connect')
      return true
    }
    const address = bucketOf(addresses.of(request))
    const over = limits.connect(address)
    if (over) {
      metrics.rejected('peerjs', over.reason)
      refuseUpgrade(socket, '503 Service Unavailable', over.reason, over.retryAfterMs)
      return true
    }
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
    const waiting = [...this.#connections]
    const batch = Math.max(1, Math.ceil(waiting.length / DRAIN_BATCHES))
    for (let from = 0; from < waiting.length; from += batch) {
      for (const connection of waiting.slice(from, from + batch)) connection.close('drain')
      if (from + batch < waiting.length) await this.#pause((ms / DRAIN_BATCHES) * (0.5 + Math.random() / 2))
    }
  }

  stop(): void {
    this.#heartbeat.stop()
    for (const connection of this.#connections) connection.abandon('drain')
    this.#wss.close()
    this.#drops.stop()
  }

  // What connections tell.

  now(): number {
    return this.#options.clock.monotonic()
  }

  frame(connection: PeerJsConnection, text: string): void {
    const session = this.#options.node.sessions.get(connection.id)
    if (session?.state === 'online') this.#take(connection, session, text)
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

  slow(connection: PeerJsConnection): void {
    connection.abandon('slow-consumer')
  }

  silent(connection: PeerJsConnection): void {
    connection.abandon('ping-timeout')
  }

  ended(connection: PeerJsConnection, code: number): void {
    const { node, limits, metrics, onPeer, onError } = this.#options
    if (!this.#connections.delete(connection)) return
    limits.disconnected(connection.address)
    this.#heartbeat.delete(connection)
    if (connection.counted) this.#admitted--
    const cut = connection.reason !== undefined || (code === 1006 && !connection.faulty)
    metrics.closed('peerjs', connection.reason ?? (cut ? 'cut' : 'by-peer'))
    if (connection.peer !== undefined) onPeer?.('disconnect', connection.peer)
    // A close frame of the peer's own frees the name: the page was left or reloaded [P10].
    const how = cut ? 'dropped' : 'left'
    node.end(connection.id, how).catch((error: unknown) => onError(error, { stage: 'end' }))
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
    this.#connections.add(connection)
    this.#heartbeat.add(connection)
    node.open(connection)
    const credentials = decodeCredentials(arrival.url)
    if (credentials === undefined) {
      this.#refuse(connection, encodeError(refusals.parameters), 'parameters')
      return
    }
    const { origin, address } = arrival
    this.#enter(connection, { credentials, origin, address }).catch((error: unknown) => {
      onError(error, { stage: 'claim' })
      connection.close('internal')
    })
  }

  async #enter(connection: PeerJsConnection, arrival: Arrival): Promise<void> {
    const { access, key, policy, metrics } = this.#options
    const admitted = await admitPeerJs(arrival, { access, keys: key })
    if (!admitted.ok) {
      await this.#slowDown(arrival.address, arrival.credentials.id)
      this.#refuse(connection, encodeError(admitted.text), admitted.what)
      return
    }
    const { peer, secret, app, identity } = admitted
    if (this.#isFull(peer)) {
      this.#refuse(connection, encodeError(refusals.limit), 'overloaded')
      return
    }
    connection.counted = true
    this.#admitted++
    const request: ClaimRequest = { peer, secret, policy: identity === undefined ? 'refuse' : policy(app) }
    const outcome = await this.#claim(connection, request)
    if (outcome.ok) {
      metrics.registered('peerjs', outcome.reclaimed ? 'reclaimed' : 'ok')
      await this.#welcome(connection, outcome.session)
      return
    }
    if (outcome.code === 'name-taken') await this.#slowDown(arrival.address, peer)
    this.#turnAway(connection, outcome.code)
  }

  /** The limit counts peers; one that comes back over its own old socket is not one more. */
  #isFull(peer: Peer): boolean {
    const { concurrentLimit, node } = this.#options
    if (concurrentLimit === 0 || this.#admitted < concurrentLimit) return false
    return node.sessions.online(peer)?.connection.wire !== 'peerjs'
  }

  async #claim(connection: PeerJsConnection, request: ClaimRequest): Promise<ClaimOutcome> {
    const { node } = this.#options
    let outcome = await node.claim(connection, request)
    for (const waitMs of TAKEN_RETRIES_MS) {
      if (outcome.ok || outcome.code !== 'name-taken' || this.#retrying >= RETRYING_MOST) return outcome
      this.#retrying++
      await this.#pause(waitMs)
      this.#retrying--
      outcome = await node.claim(connection, request)
    }
    return outcome
  }

  /** OPEN at once; then what waited, and what arrives while it is being fetched. */
  async #welcome(connection: PeerJsConnection, session: OnlineSession): Promise<void> {
    const { node, onPeer, onError } = this.#options
    connection.peer = session.peer
    connection.write(OPEN_FRAME)
    onPeer?.('connection', session.peer)
    for (const text of connection.takeKept()) this.frame(connection, text)
    let waiting: Message[] = []
    try {
      waiting = await node.mail.take(session.peer)
    } catch (error) {
      onError(error, { stage: 'mailbox take' })
    }
    connection.opened(waiting.map((message) => message.frame))
  }

  #turnAway(connection: PeerJsConnection, code: ErrorCode): void {
    switch (code) {
      case 'name-taken':
        this.#refuse(connection, ID_TAKEN_FRAME, code)
        return
      case 'draining':
      case 'registry-unavailable':
        // An ERROR would end the peer for good; after a mere close it may try again.
        this.#options.metrics.registered('peerjs', code)
        connection.close(code === 'draining' ? 'drain' : 'registry-unavailable')
        return
      default:
        this.#refuse(connection, encodeError(errors[code].text), code)
    }
  }

  #refuse(connection: PeerJsConnection, frame: string, what: string): void {
    this.#options.metrics.registered('peerjs', what)
    connection.write(frame)
    connection.close('refused')
  }

  /** Whoever tries names or tokens gets its answers late. */
  async #slowDown(address: string, name: string): Promise<void> {
    const waitMs = this.#options.limits.claimFailed(address, name)
    if (waitMs > 0) await this.#pause(Math.min(waitMs, SLOWED_MOST_MS))
  }

  // From frame to message.

  #take(connection: PeerJsConnection, session: OnlineSession, text: string): void {
    const { node, onError } = this.#options
    const frame = decodePeerFrame(text, nameOf(session.peer))
    switch (frame.type) {
      case 'heartbeat':
      case 'ignored':
        return
      case 'malformed':
        this.#drops.dropped('malformed', { name: nameOf(session.peer), length: text.length })
        return
      case 'leave':
        node.leave(session).catch((error: unknown) => onError(error, { stage: 'leave' }))
        return
      case 'relay':
        if (this.#isOver(connection, text.length)) {
          this.#drops.dropped('rate-limited', { name: nameOf(session.peer) })
          if (frame.hold) connection.expire(frame.to, errors['rate-limited'].text)
          return
        }
        this.#relay(connection, session, frame)
    }
  }

  #relay(connection: PeerJsConnection, session: OnlineSession, frame: RelayFrame): void {
    const name = parseName(frame.to)
    if (!name.ok) {
      // No peer can ever have such a name, so there is nothing to wait for.
      if (frame.hold) connection.expire(frame.to)
      return
    }
    const message: Message = {
      from: session.peer,
      to: peerOf(appOf(session.peer), name.value),
      wire: 'peerjs',
      kind: 'signal',
      reply: { node: this.#options.node.id, connection: connection.id, ref: frame.hold ? WANTS_EXPIRE : '' },
      frame: frame.frame,
    }
    if (frame.hold) message.hold = true
    this.#pairs.route(message)
  }

  #isOver(connection: PeerJsConnection, length: number): boolean {
    const { limits } = this.#options
    const { messagesPerSecond, bytesPerSecond } = limits.values.connection
    const now = this.now()
    if (connection.messages === undefined) {
      connection.messages = new TokenBucket(messagesPerSecond, now)
      if (connection.peer !== undefined) connection.messages.beside = limits.named(connection.peer)
    }
    connection.bytes ??= new TokenBucket(bytesPerSecond, now)
    return connection.messages.take(1, now) > 0 || connection.bytes.take(length, now) > 0
  }

  #settled(message: Message, outcome: Outcome, ms?: number): void {
    const result = typeof outcome === 'string' ? outcome : outcome.refused
    this.#options.metrics.routed('peerjs', 'signal', result, message.frame.length, ms)
    // What may wait and yet is refused at once found its mailbox full.
    if (result === 'unavailable' && message.hold) this.#drops.dropped('mailbox-full', { name: message.to })
  }

  #overflowed(message: Message): void {
    this.#drops.dropped('too-many', { text: 'messages behind a look-up', name: message.to })
    if (message.hold) this.#options.node.router.refuse(message, 'rate-limited')
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.after(ms, resolve))
  }
}

function refuseUpgrade(socket: Duplex, status: string, detail: string, retryAfterMs?: number): void {
  const retry = retryAfterMs === undefined ? '' : `Retry-After: ${Math.ceil(retryAfterMs / 1_000)}\r\n`
  const body = `${detail}\n`
  const head = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain\r\n${retry}`
  socket.end(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
}
