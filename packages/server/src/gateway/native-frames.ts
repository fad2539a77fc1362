import type { Clock, Message, Node, OnlineSession, Outcome } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import type {
  NodeMessage,
  NodeMessageOf,
  Peer,
  PeerMessage,
  PeerMessageOf,
  ProtocolError,
} from '@peerage/protocol'
import {
  EVENT_PREFIX,
  appOf,
  decodeFrame,
  encodeNodeMessage,
  errorTexts,
  limits as wireLimits,
  nameOf,
  peerOf,
  protocolError,
} from '@peerage/protocol'
import type { Limits } from '../limits.js'
import { LONG_BYTES, OVER_PAUSE_MS } from '../limits.js'
import type { GatewayMetrics } from './events.js'
import { HandshakeReports } from './handshake-reports.js'
import type { NativeConnection } from './native-connection.js'
import { NativeRooms } from './native-rooms.js'
import type { SocketIoGatewayOptions } from './socketio.js'

type Parts = Pick<
  SocketIoGatewayOptions,
  'node' | 'clock' | 'limits' | 'metrics' | 'log' | 'welcome' | 'turn' | 'onError'
>

/** What a page of members costs of the rate for look-ups: one command, and a long answer. */
const ROOM_PAGE_LOOKUPS = 8

/** What was wrong with a frame, and the id of the request where it had one. */
export interface Broken {
  error: ProtocolError
  id?: number
}

/** What each frame of a native peer does: decode, check its limits, hand it to core, answer. */
export class NativeFrames {
  readonly #node: Node
  readonly #clock: Clock
  readonly #limits: Limits
  readonly #metrics: GatewayMetrics
  readonly #rooms: NativeRooms
  readonly #reports: HandshakeReports
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
    this.#node = parts.node
    this.#clock = parts.clock
    this.#limits = parts.limits
    this.#metrics = parts.metrics
    this.#reports = new HandshakeReports(parts)
    this.#rooms = new NativeRooms(parts.node, parts.metrics)
  }

  welcome(
    connection: NativeConnection,
    session: OnlineSession,
    rest: Omit<NodeMessageOf<'welcome'>, 'type' | 'app' | 'name' | 'since'>,
  ): void {
    const { peer, lease } = session
    connection.write(
      encodeNodeMessage({
        type: 'welcome',
        app: appOf(peer),
        name: nameOf(peer),
        since: lease.since,
        ...rest,
      }),
    )
  }

  /** Returns what was wrong with the frame itself; every other answer has gone to the peer already. */
  receive(connection: NativeConnection, frame: string): Broken | undefined {
    // Counted before it is read.
    const bytes = Buffer.byteLength(frame)
    const waitMs = this.#overLimit(connection, bytes)
    if (waitMs > 0 && bytes > LONG_BYTES) {
      connection.socket.pause(OVER_PAUSE_MS)
      if (this.#isUnread(connection)) return undefined
    }
    const decoded = decodeFrame(frame)
    if (!decoded.ok) return decoded
    const message = decoded.value
    const session = this.#node.sessions.get(connection.id)
    if (session?.state !== 'online') {
      const error = protocolError('not-claimed', errorTexts['not-claimed'])
      return 'id' in message ? { error, id: message.id } : { error }
    }
    if (message.type === 'ack') {
      this.#acknowledgeAll(connection, session, message, waitMs)
      return undefined
    }
    // Who leaves costs nothing more, whatever it has sent before.
    if (waitMs > 0 && message.type !== 'leave') {
      this.#tooFast(connection, waitMs, message)
      return undefined
    }
    this.#handle(connection, session, message)
    return undefined
  }

  #handle(
    connection: NativeConnection,
    session: OnlineSession,
    message: Exclude<PeerMessage, { type: 'ack' }>,
  ): void {
    switch (message.type) {
      case 'send':
        this.#send(connection, session, message)
        return
      case 'lookup':
        this.#answer(connection, message.id, this.#lookup(connection, session, message))
        return
      case 'watch':
        this.#answer(connection, message.id, this.#watch(connection, session, message))
        return
      case 'join':
        this.#answer(connection, message.id, this.#join(connection, session, message))
        return
      case 'part':
        this.#answer(connection, message.id, this.#rooms.part(session, message))
        return
      case 'members':
        this.#answer(connection, message.id, this.#members(connection, session, message))
        return
      case 'say':
        this.#answer(connection, message.id, this.#say(connection, session, message))
        return
      case 'unwatch':
        for (const name of message.names)
          this.#node.watchers.unwatch(connection.id, peerOf(appOf(session.peer), name))
        return
      case 'ice':
        connection.write(encodeNodeMessage({ type: 'ice', id: message.id, turn: this.#parts.turn(session) }))
        return
      case 'report':
        this.#reports.take(connection, message)
        return
      case 'leave':
        this.#node.leave(session).catch((error: unknown) => this.#parts.onError(error, { stage: 'leave' }))
        return
    }
  }

  #send(connection: NativeConnection, session: OnlineSession, send: PeerMessageOf<'send'>): void {
    const { to, since, stream, seq, base, kind, body, fresh, handshake } = send
    const refused =
      kind === 'message' ? this.#overRelay(connection, body) : this.#overSignals(connection, body)
    if (refused) {
      connection.write(encodeNodeMessage({ type: 'notice', to, stream, seq, code: refused }))
      this.#metrics.routed('native', kind, refused, 0)
      return
    }
    const from = session.peer
    const stamped = { from: nameOf(from), since: session.lease.since, stream, seq, base, kind, body }
    const message: Message = {
      from,
      to: peerOf(appOf(from), to),
      wire: 'native',
      since,
      kind,
      reply: { node: this.#node.id, connection: connection.id, ref: `${stream}:${seq}` },
      frame: encodeNodeMessage(
        handshake === undefined
          ? { type: 'message', ...stamped }
          : { type: 'message', ...stamped, handshake },
      ),
    }
    if (fresh) message.fresh = true
    if (handshake !== undefined) message.handshake = handshake
    this.#route(message)
  }

  // An acknowledgement is free within what this connection was handed, or a victim would be cut for answering its
  // attackers. Beyond that each counts as a message. One to a peer that has sent nothing costs neither a look-up nor a
  // strike: after a move to another node the first one may be such, and its sender sends again.
  #acknowledgeAll(
    connection: NativeConnection,
    session: OnlineSession,
    { acks }: PeerMessageOf<'ack'>,
    waitMs: number,
  ): void {
    const { messages } = connection
    const now = this.#clock.monotonic()
    // The frame has been counted, and stands for the first one that is not free.
    let counted = waitMs === 0
    let overMs = waitMs
    let due = 0
    for (const ack of acks) {
      const answers = connection.acknowledge(peerOf(appOf(session.peer), ack.to))
      if (answers === 'unknown') continue
      if (answers === 'due') due++
      else if (counted) counted = false
      else {
        overMs = messages.take(1, now)
        if (overMs > 0) continue
      }
      this.#acknowledge(connection, session, ack)
    }
    if (due < acks.length) {
      if (overMs > 0) this.#tooFast(connection, overMs, { type: 'ack', acks })
    } else if (waitMs === 0) messages.give(1)
  }

  // It goes wherever the sender is by now: a route from before its return would lead nowhere, for good.
  #acknowledge(
    connection: NativeConnection,
    session: OnlineSession,
    { to, stream, next }: PeerMessageOf<'ack'>['acks'][number],
  ): void {
    const from = session.peer
    this.#route({
      from,
      to: peerOf(appOf(from), to),
      wire: 'native',
      kind: 'ack',
      reply: { node: this.#node.id, connection: connection.id, ref: '' },
      frame: `${EVENT_PREFIX}${JSON.stringify(['acked', { from: nameOf(from), stream, next }])}`,
    })
  }

  #route(message: Message): void {
    const outcome = this.#node.router.route(message)
    if (!(outcome instanceof Promise)) {
      this.#count(message, outcome)
      return
    }
    // An acknowledgement may wait for company: how long says nothing about the cluster.
    const begunAt = message.kind === 'ack' ? undefined : this.#clock.monotonic()
    outcome.then(
      (settled) =>
        this.#count(message, settled, begunAt === undefined ? undefined : this.#clock.monotonic() - begunAt),
      (error: unknown) => this.#parts.onError(error, { stage: 'route' }),
    )
  }

  #count(message: Message, outcome: Outcome, ms?: number): void {
    const result = typeof outcome === 'string' ? outcome : outcome.refused
    this.#metrics.routed('native', message.kind, result, message.frame.length, ms)
  }

  async #lookup(
    connection: NativeConnection,
    session: OnlineSession,
    { id, names }: PeerMessageOf<'lookup'>,
  ): Promise<NodeMessageOf<'found'> | ProtocolError> {
    const waitMs = this.#overLookups(connection, names.length)
    if (waitMs > 0) return protocolError('rate-limited', 'too many look-ups', waitMs)
    const peers = names.map((name) => peerOf(appOf(session.peer), name))
    const seen = await this.#node.lookup(peers)
    if (this.#node.recovering && seen.some((one) => one.state === 'offline'))
      return protocolError('registry-unavailable', 'the registry has just come back')
    return {
      type: 'found',
      id,
      peers: seen.map((one, i) => ({ name: nameOf(peers[i] ?? session.peer), ...one })),
    }
  }

  async #watch(
    connection: NativeConnection,
    session: OnlineSession,
    { id, names }: PeerMessageOf<'watch'>,
  ): Promise<NodeMessageOf<'found'> | ProtocolError> {
    const waitMs = this.#overLookups(connection, names.length)
    if (waitMs > 0) return protocolError('rate-limited', 'too many look-ups', waitMs)
    if (this.#node.watchers.count(connection.id) + names.length > wireLimits.watches)
      return protocolError('too-many', `at most ${wireLimits.watches} names can be watched by one connection`)
    const peers: Peer[] = names.map((name) => peerOf(appOf(session.peer), name))
    const seen = await Promise.all(peers.map((peer) => this.#node.watchers.watch(connection.id, peer)))
    return {
      type: 'found',
      id,
      peers: seen.map((one, i) => ({ name: nameOf(peers[i] ?? session.peer), ...one })),
    }
  }

  #answer(connection: NativeConnection, id: number, answer: Promise<NodeMessage | ProtocolError>): void {
    answer.then(
      (message) => {
        if ('type' in message) connection.write(encodeNodeMessage(message))
        else connection.fail(message, id)
      },
      (error: unknown) => {
        if (!(error instanceof RegistryUnavailable)) this.#parts.onError(error, { stage: 'lookup' })
        connection.fail(protocolError('registry-unavailable', errorTexts['registry-unavailable']), id)
      },
    )
  }

  async #join(
    connection: NativeConnection,
    session: OnlineSession,
    message: PeerMessageOf<'join'>,
  ): Promise<NodeMessage | ProtocolError> {
    const waitMs = connection.rates.joins.take(1, this.#clock.monotonic())
    if (waitMs > 0) return protocolError('rate-limited', 'too many joins', waitMs)
    return this.#rooms.join(session, message)
  }

  async #members(
    connection: NativeConnection,
    session: OnlineSession,
    message: PeerMessageOf<'members'>,
  ): Promise<NodeMessage | ProtocolError> {
    const waitMs = this.#overLookups(connection, ROOM_PAGE_LOOKUPS)
    if (waitMs > 0) return protocolError('rate-limited', 'too many look-ups', waitMs)
    return this.#rooms.members(session, message)
  }

  async #say(
    connection: NativeConnection,
    session: OnlineSession,
    message: PeerMessageOf<'say'>,
  ): Promise<NodeMessage | ProtocolError> {
    const refused = this.#overRelay(connection, message.body)
    if (refused) return protocolError(refused, errorTexts[refused])
    return this.#rooms.say(session, message, (cost) =>
      connection.rates.said.take(cost, this.#clock.monotonic()),
    )
  }

  #overLimit(connection: NativeConnection, bytes: number): number {
    const now = this.#clock.monotonic()
    return Math.max(connection.messages.take(1, now), connection.rates.bytes.take(bytes, now))
  }

  #overLookups(connection: NativeConnection, names: number): number {
    const own = connection.rates.lookups.take(names, this.#clock.monotonic())
    return Math.max(own, this.#limits.lookups(connection.socket.address, names))
  }

  #overRelay(connection: NativeConnection, body: string): 'relay-refused' | 'rate-limited' | undefined {
    const { relay } = this.#parts.welcome()
    const bytes = Buffer.byteLength(body)
    if (relay === null || bytes > relay.messageBytes) return 'relay-refused'
    const waitMs = connection.rates.relayed.take(bytes, this.#clock.monotonic())
    return waitMs > 0 ? 'rate-limited' : undefined
  }

  // What a handshake needs, not what a line carries: on any other's line it would fill the buffer of its recipient.
  #overSignals(connection: NativeConnection, body: string): 'rate-limited' | undefined {
    const bytes = Buffer.byteLength(body)
    if (connection.rates.signals.take(bytes, this.#clock.monotonic()) === 0) return undefined
    if (bytes > LONG_BYTES) connection.socket.pause(OVER_PAUSE_MS)
    return 'rate-limited'
  }

  /** Whether a long frame over a rate is dropped unread; its sender sends it again. */
  #isUnread(connection: NativeConnection): boolean {
    const now = this.#clock.monotonic()
    if (connection.rates.refusedReads.take(1, now) === 0) return false
    this.#metrics.rejected('native', 'rate-limited')
    connection.strike(now)
    return true
  }

  // A send gets a notice, so that its sender knows which one; the SDK slows down and tries again.
  #tooFast(connection: NativeConnection, waitMs: number, message: PeerMessage): void {
    this.#metrics.rejected('native', 'rate-limited')
    if (message.type === 'send') {
      const { to, stream, seq } = message
      connection.write(encodeNodeMessage({ type: 'notice', to, stream, seq, code: 'rate-limited' }))
    } else {
      const error = protocolError('rate-limited', errorTexts['rate-limited'], waitMs)
      connection.fail(error, 'id' in message ? message.id : undefined)
    }
    connection.strike(this.#clock.monotonic())
  }
}
