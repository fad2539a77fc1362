import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock, Node, OnlineSession } from '@peerage/core'
import type { CloseReason, NodeMessageOf, ProtocolError } from '@peerage/protocol'
import {
  PROTOCOL_VERSION,
  errorTexts,
  limits as wireLimits,
  parseConnectionId,
  protocolError,
} from '@peerage/protocol'
import type { Socket } from 'socket.io'
import { Server } from 'socket.io'
import type { HttpGateway } from '../attach.js'
import type { Access } from '../shared/access.js'
import { mayComeFrom } from '../shared/access.js'
import type { Addresses } from '../shared/address.js'
import { costOf, holdsTooMuch } from '../shared/frame-cost.js'
import type { Limits } from '../shared/limits.js'
import { TokenBucket, refusedRequestsBucket, strikeBucket } from '../shared/limits.js'
import type { EngineOptions } from './engine.js'
import { Engine, EngineSocket } from './engine.js'
import type { GatewayLog, GatewayMetrics } from '../shared/events.js'
import { Heartbeat } from '../shared/heartbeat.js'
import { admitNative, readHello } from './admit.js'
import type { Place } from '../places.js'
import type { NativeConnectionParts, Rates } from './connection.js'
import { NativeConnection } from './connection.js'
import { NativeFrames } from './frames.js'
import type { UpgradeRefusal } from '../shared/refuse-upgrade.js'
import { DRAINING, WRONG_ORIGIN, overLimit, refuseUpgrade } from '../shared/refuse-upgrade.js'

export interface SocketIoGatewayOptions {
  node: Node
  clock: Clock
  access: Access
  /** Exact origins that may connect; empty: any. */
  origins: readonly string[]
  addresses: Addresses
  limits: Limits
  metrics: GatewayMetrics
  log: GatewayLog
  engine: Omit<EngineOptions, 'clock' | 'backlog'>
  /** Within so many milliseconds the registry answers, or has failed. */
  commandMs: number
  /** Mount point, with slashes on both ends. */
  path: string
  /** What this node carries for peers that find no direct way; null: nothing. */
  relay: NodeMessageOf<'welcome'>['relay']
  /** What the welcome says beside these; `host` is the Host header of the peer's request. */
  welcome: (
    host: string | undefined,
  ) => { p2pServer: string | null } & Pick<NodeMessageOf<'welcome'>, 'graceMs' | 'deadlineMs' | 'pingMs'>
  /** Fresh TURN credentials for a peer; null: no TURN here. */
  turn: (session: OnlineSession) => NodeMessageOf<'ice'>['turn']
  policy: (app: string) => 'refuse' | 'replace'
  onError: (error: unknown, context: { stage: string }) => void
}

/** After so many frames that are no messages, the connection is closed with `protocol`. */
const MALFORMED_MOST = 20
/** Without a name, after so many: a connection is cheap to have, and each answer costs. */
const MALFORMED_BEFORE_NAME_MOST = 5
/** So many frames may come before a late answer; with more the connection is closed after it. */
const HELD_BEFORE_NAME_MOST = 20
/** After so many refused hellos, a connection is closed with `rate-limited`. */
const HELLOS_MOST = 20
const HELLOS_RETRY_MS = 5_000

/** The longest time that a timer of Node takes. */
const TIMER_MOST_MS = 2 ** 31 - 1
/** A join is answered with a page of members. All rooms of a connection twice at once, then once a second. */
const JOINS_PER_SECOND = wireLimits.rooms
/**
 * A node writes to so many members for what one message between two peers costs: measured, either takes 0.3 of a core
 * at its full rate (some 25 microseconds a member, 280 a message).
 */
const MEMBERS_PER_MESSAGE = 10

/** The native wire: socket.io events over WebSocket at `/peerage/`. SPEC: packages/protocol/SPEC.md. */
export class SocketIoGateway implements HttpGateway {
  readonly wire = 'native'
  readonly place: Place
  readonly #options: SocketIoGatewayOptions
  readonly #engine: Engine
  readonly #io: Server
  readonly #heartbeat: Heartbeat
  readonly #frames: NativeFrames
  readonly #connections = new Map<EngineSocket, NativeConnection>()
  readonly #shared: NativeConnectionParts = {
    messages: (connection) => this.#messages(connection),
    rates: () => this.#rates(),
    slow: (connection) => this.#slow(connection),
  }

  constructor(options: SocketIoGatewayOptions) {
    this.#options = options
    this.place = { path: options.path, setting: 'path' }
    const { engine, clock } = options
    this.#heartbeat = new Heartbeat({ clock, ...engine })
    this.#frames = new NativeFrames(options)
    this.#engine = new Engine(
      { ...engine, clock, backlog: options.limits.backlog },
      {
        opened: (socket) => this.#opened(socket),
        event: (socket, frame) => this.#event(socket, frame),
        malformed: (socket, what) => this.#malformed(socket, protocolError(what, errorTexts[what])),
        connect: (socket, frame) => this.#connect(socket, frame),
        extra: (socket) => this.#extra(socket),
        silent: (socket) => this.#abandon(socket, 'ping-timeout'),
        stuck: (socket) => this.#abandon(socket, 'slow-consumer'),
        ended: (socket, code) => this.#ended(socket, code),
      },
    )
    // Core closes who does not claim in time, with the reason; socket.io would be silent about it.
    this.#io = new Server({ serveClient: false, connectTimeout: TIMER_MOST_MS })
    this.#io.bind(this.#engine)
    this.#io.on('connection', (socket) => this.#welcome(socket))
  }

  get connections(): number {
    return this.#connections.size
  }

  start(): void {
    this.#heartbeat.start()
  }

  /** True: this upgrade is ours, and has been answered. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    const url = request.url ?? ''
    const end = url.indexOf('?')
    const path = end < 0 ? url : url.slice(0, end)
    if (path !== this.#options.path && `${path}/` !== this.#options.path) return false
    const { node, origins, addresses, limits } = this.#options
    const refuse = (refusal: UpgradeRefusal): true => {
      refuseUpgrade(socket, this.wire, refusal, this.#options)
      return true
    }
    const query = new URLSearchParams(end < 0 ? '' : url.slice(end))
    if (query.get('EIO') !== '4' || query.get('transport') !== 'websocket') return refuse(NOT_OUR_PROTOCOL)
    if (!mayComeFrom(origins, request.headers.origin)) return refuse(WRONG_ORIGIN)
    if (node.draining) return refuse(DRAINING)
    const address = addresses.bucketOf(request)
    const over = limits.connect(address)
    if (over) return refuse(overLimit(over))
    socket.once('close', () => limits.disconnected(address))
    this.#engine.accept(request, socket, head, address)
    return true
  }

  /** Moves the peers to other nodes in batches with jitter, so that the others are not hit at once. */
  async drain(ms: number): Promise<void> {
    const waiting = [...this.#connections.values()]
    const batch = Math.max(1, Math.ceil(waiting.length / DRAIN_BATCHES))
    for (let from = 0; from < waiting.length; from += batch) {
      for (const connection of waiting.slice(from, from + batch))
        connection.close('drain', Math.round(Math.random() * DRAIN_RETRY_MS))
      if (from + batch < waiting.length) await this.#pause((ms / DRAIN_BATCHES) * (0.5 + Math.random() / 2))
    }
  }

  stop(): void {
    this.#heartbeat.stop()
    this.#engine.close()
    this.#io.disconnectSockets(true)
  }

  #opened(socket: EngineSocket): void {
    const { node, metrics } = this.#options
    metrics.connected('native')
    const id = parseConnectionId(socket.id)
    if (!id.ok) throw new Error(id.problem)
    const connection = new NativeConnection(id.value, socket, this.#shared)
    this.#connections.set(socket, connection)
    this.#heartbeat.add(socket)
    node.open(connection)
  }

  #messages(connection: NativeConnection): TokenBucket {
    const { limits, clock, node } = this.#options
    const messages = new TokenBucket(limits.values.connection.messagesPerSecond, clock.monotonic())
    const session = node.sessions.get(connection.id)
    if (session?.state === 'online') messages.beside = limits.named(session.peer)
    return messages
  }

  #rates(): Rates {
    const { limits, clock, relay } = this.#options
    const { messagesPerSecond, bytesPerSecond, signalBytesPerSecond, lookupsPerSecond } =
      limits.values.connection
    const now = clock.monotonic()
    return {
      bytes: new TokenBucket(bytesPerSecond, now),
      signals: new TokenBucket(signalBytesPerSecond, now),
      lookups: new TokenBucket(lookupsPerSecond, now),
      relayed: new TokenBucket(relay?.bytesPerSecond ?? 0, now),
      said: new TokenBucket(MEMBERS_PER_MESSAGE * messagesPerSecond, now, { whole: true }),
      joins: new TokenBucket(lookupsPerSecond === 0 ? 0 : JOINS_PER_SECOND, now),
      strikes: strikeBucket(now),
      refusedRequests: refusedRequestsBucket(now),
    }
  }

  async #claim(connection: NativeConnection, hello: unknown): Promise<void> {
    const error = await admitNative(connection, hello, this.#options).catch((failure: unknown) => {
      this.#options.onError(failure, { stage: 'admit' })
      return protocolError('registry-unavailable', 'this node failed; try again')
    })
    if (error === undefined) {
      connection.claiming = false
      connection.socket.join()
      return
    }
    // Who gave up meanwhile waits for the close alone.
    if (this.#options.node.sessions.get(connection.id)?.state === 'closing') return
    this.#options.metrics.registered('native', error.code)
    this.#refuse(connection, () => {
      connection.claiming = false
      connection.refuse(error)
      connection.refused++
      if (connection.refused > HELLOS_MOST) connection.close('rate-limited', HELLOS_RETRY_MS)
    })
  }

  // A connection that sends fifty hellos, hears no and goes costs a node some 2 ms. Over the rate of its address, who has
  // no name is answered late, and not read meanwhile.
  #refuse(connection: NativeConnection, answer: () => void): void {
    const { clock, limits } = this.#options
    const lateMs = this.#isNamed(connection) ? 0 : limits.refusedMs(connection.socket.address)
    if (lateMs === 0) {
      answer()
      return
    }
    // First the answer: what is read after the pause is answered after it.
    clock.after(lateMs, answer)
    const over = (): void => connection.close('rate-limited', HELLOS_RETRY_MS)
    connection.socket.pause(lateMs, { frames: HELD_BEFORE_NAME_MOST, over })
  }

  #isNamed(connection: NativeConnection): boolean {
    return this.#options.node.sessions.get(connection.id)?.state === 'online'
  }

  #welcome(socket: Socket): void {
    const { node, relay, welcome, turn } = this.#options
    const connection = this.#connectionOf(socket)
    const session = connection && node.sessions.get(connection.id)
    if (connection === undefined || session?.state !== 'online') return
    const host = connection.socket.request?.headers['host']
    const { p2pServer, ...times } = welcome(host)
    const p2p = { server: p2pServer, turn: turn(session) }
    this.#frames.welcome(connection, session, { v: PROTOCOL_VERSION, node: node.id, p2p, relay, ...times })
    this.#slim(socket, connection)
  }

  // What socket.io keeps of a handshake, a room for each peer alone, and its acknowledgements (ours are the wire's) are
  // of no use here: a third of an idle peer.
  #slim(socket: Socket, connection: NativeConnection): void {
    connection.socket.request = undefined
    connection.claimed()
    Reflect.set(socket, 'handshake', NO_HANDSHAKE)
    Reflect.set(socket, 'acks', NO_ACKS)
    socket.data = NO_DATA
    socket.nsp.adapter.delAll(socket.id)
  }

  #event(socket: EngineSocket, frame: string): void {
    const connection = this.#connections.get(socket)
    if (connection === undefined || connection.reason !== undefined) return
    const broken = this.#frames.receive(connection, frame)
    if (broken) this.#malformed(socket, broken.error, () => connection.fail(broken.error, broken.id))
  }

  #malformed(socket: EngineSocket, error: ProtocolError, answer?: () => void): void {
    const connection = this.#connections.get(socket)
    // What waited when its peer went gets no answer.
    if (connection === undefined || !socket.isOpen) return
    this.#options.metrics.rejected('native', error.code)
    this.#refuse(connection, () => {
      if (answer) answer()
      else connection.fail(error)
      connection.malformed++
      const most = this.#isNamed(connection) ? MALFORMED_MOST : MALFORMED_BEFORE_NAME_MOST
      if (connection.malformed > most) connection.close('protocol')
    })
  }

  // One hello at a time, and none after the one that was welcome: a claim costs the registry a script, and a second one
  // could win a second name.
  #connect(socket: EngineSocket, frame: string): void {
    // Who has gone gets no name.
    if (!socket.isOpen || !this.#extra(socket)) return
    const connection = this.#connections.get(socket)
    if (connection === undefined) return
    if (frame[2] === '/') {
      const [namespace = '/'] = NAMESPACE.exec(frame.slice(CONNECT_LENGTH)) ?? []
      const error = protocolError('bad-frame', 'the default namespace is the only one')
      this.#malformed(socket, error, () => connection.refuse(error, `${namespace},`))
      return
    }
    if (connection.claiming || this.#options.node.sessions.get(connection.id)?.state !== 'opening') {
      this.#malformed(socket, protocolError('already-claimed', errorTexts['already-claimed']))
      return
    }
    const bytes = Buffer.byteLength(frame)
    const hello = holdsTooMuch(costOf(frame, bytes), bytes)
      ? undefined
      : readHello(frame.slice(CONNECT_LENGTH))
    if (hello === undefined) {
      const error = protocolError('bad-frame', 'a hello is a JSON object of a few fields')
      this.#malformed(socket, error, () => connection.refuse(error))
      return
    }
    connection.claiming = true
    this.#claim(connection, hello).catch((error: unknown) => this.#options.onError(error, { stage: 'claim' }))
  }

  #extra(socket: EngineSocket): boolean {
    const connection = this.#connections.get(socket)
    if (connection === undefined || connection.reason !== undefined) return false
    const now = this.#options.clock.monotonic()
    if (connection.messages.take(1, now) === 0) return true
    this.#options.metrics.rejected('native', 'rate-limited')
    connection.strike(now)
    return false
  }

  #connectionOf(socket: Socket): NativeConnection | undefined {
    const engineSocket: unknown = socket.conn
    return engineSocket instanceof EngineSocket ? this.#connections.get(engineSocket) : undefined
  }

  #slow(connection: NativeConnection): void {
    this.#abandon(connection.socket, 'slow-consumer')
  }

  #abandon(socket: EngineSocket, reason: CloseReason): void {
    this.#connections.get(socket)?.abandon(reason)
  }

  #ended(socket: EngineSocket, code: number): void {
    const { node, metrics, onError } = this.#options
    const connection = this.#connections.get(socket)
    if (connection === undefined) return
    this.#connections.delete(socket)
    this.#heartbeat.delete(socket)
    metrics.closed('native', connection.reason ?? (code === 1006 ? 'cut' : 'by-peer'))
    // A peer that means to leave says `leave`; anything else may be a reload or a cut, and keeps the name.
    node.end(connection.id, 'dropped').catch((error: unknown) => onError(error, { stage: 'end' }))
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.after(ms, resolve))
  }
}

const NOT_OUR_PROTOCOL: UpgradeRefusal = {
  status: '400 Bad Request',
  reason: 'malformed',
  detail: 'this path speaks engine.io 4 over WebSocket only',
}

const NO_HANDSHAKE = Object.freeze({})
const NO_ACKS = new Map<never, never>()
const NO_DATA = Object.freeze({})

const DRAIN_BATCHES = 10
/** Told to each moved peer, at random up to this: the first tries of a batch spread over it. */
const DRAIN_RETRY_MS = 1_000

const CONNECT_LENGTH = '40'.length
/** As much of its name as is told back. */
const NAMESPACE = /^\/[^,]{0,63}/
