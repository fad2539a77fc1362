import type { Clock, Message, Node, OnlineSession, Outcome, Session } from '@peerage/core'
import type { NodeMessageOf, PeerMessage, PeerMessageOf, ProtocolError } from '@peerage/protocol'
import {
  EVENT_PREFIX,
  appOf,
  decodeFrame,
  encodeNodeMessage,
  encodeStamped,
  errorTexts,
  nameOf,
  peerOf,
  protocolError,
} from '@peerage/protocol'
import { costOf, holdsTooMuch } from '../../lib/frame-cost.js'
import { LONG_BYTES, OVER_PAUSE_MS } from '../shared/limits.js'
import type { GatewayMetrics } from '../shared/events.js'
import { HandshakeReports } from './handshake-reports.js'
import type { NativeConnection } from './connection.js'
import { NativeRequests } from './requests.js'
import type { SocketIoGatewayOptions } from './gateway.js'

type Parts = Pick<
  SocketIoGatewayOptions,
  'node' | 'clock' | 'limits' | 'metrics' | 'log' | 'relay' | 'turn' | 'commandMs' | 'onError'
>

/** What was wrong with a frame, and the id of the request where it had one. */
export interface Broken {
  error: ProtocolError
  id?: number
}

const HOLDS_TOO_MUCH: Broken = {
  error: protocolError('bad-frame', 'the frame holds more keys, texts or numbers than any message has'),
}

/** What each frame of a native peer does: decode, check its limits, hand it to core, answer. */
export class NativeFrames {
  readonly #node: Node
  readonly #clock: Clock
  readonly #metrics: GatewayMetrics
  readonly #requests: NativeRequests
  readonly #reports: HandshakeReports
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
    this.#node = parts.node
    this.#clock = parts.clock
    this.#metrics = parts.metrics
    this.#reports = new HandshakeReports(parts)
    this.#requests = new NativeRequests(parts)
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
    const now = this.#clock.monotonic()
    const { messages, rates } = connection
    const cost = costOf(frame, bytes)
    const waitMs = Math.max(messages.take(1, now), rates.bytes.take(cost, now))
    const isLong = bytes > LONG_BYTES
    if (waitMs > 0 && isLong) connection.socket.pause(OVER_PAUSE_MS)
    if (holdsTooMuch(cost, bytes)) return HOLDS_TOO_MUCH
    const decoded = decodeFrame(frame)
    if (!decoded.ok) return decoded
    const message = decoded.value
    const session = this.#node.sessions.get(connection.id)
    if (session?.state === 'opening' && connection.claiming && message.type === 'leave') {
      this.#leave(session, message)
      return undefined
    }
    // It has left, and hears so when its name is free.
    if (session?.state === 'closing') return undefined
    if (session?.state !== 'online') {
      const error = protocolError('not-claimed', errorTexts['not-claimed'])
      return 'id' in message ? { error, id: message.id } : { error }
    }
    if (message.type === 'ack') {
      this.#acknowledgeAll(connection, session, message, waitMs, cost - bytes)
      return undefined
    }
    // Who leaves costs nothing more, whatever it has sent before.
    if (waitMs > 0 && message.type !== 'leave') {
      if (!isLong && cost > LONG_BYTES) connection.socket.pause(OVER_PAUSE_MS)
      this.#tooFast(connection, waitMs, message)
      return undefined
    }
    this.#handle(connection, session, message, now)
    return undefined
  }

  #handle(
    connection: NativeConnection,
    session: OnlineSession,
    message: Exclude<PeerMessage, { type: 'ack' }>,
    now: number,
  ): void {
    switch (message.type) {
      case 'send':
        this.#send(connection, session, message, now)
        return
      case 'lookup':
      case 'watch':
      case 'unwatch':
      case 'join':
      case 'part':
      case 'members':
      case 'say':
        this.#requests.take(connection, message)
        return
      case 'ice':
        connection.write(encodeNodeMessage({ type: 'ice', id: message.id, turn: this.#parts.turn(session) }))
        return
      case 'report':
        this.#reports.take(connection.rates, message)
        return
      case 'leave':
        this.#leave(session, message)
        return
    }
  }

  #leave(session: Session, { onlyNew = false }: PeerMessageOf<'leave'>): void {
    this.#node
      .leave(session, onlyNew ? 'gave-up' : 'left')
      .catch((error: unknown) => this.#parts.onError(error, { stage: 'leave' }))
  }

  #send(
    connection: NativeConnection,
    session: OnlineSession,
    send: PeerMessageOf<'send'>,
    now: number,
  ): void {
    const { to, since, stream, seq, kind, body, fresh, handshake } = send
    const refused =
      kind === 'message'
        ? this.#requests.overRelay(connection, body, now)
        : this.#overSignals(connection, body, now)
    if (refused) {
      connection.write(encodeNodeMessage({ type: 'notice', to, stream, seq, code: refused }))
      this.#metrics.routed('native', kind, refused, 0)
      return
    }
    const from = session.peer
    const message: Message = {
      from,
      to: peerOf(appOf(from), to),
      wire: 'native',
      since,
      kind,
      reply: { node: this.#node.id, connection: connection.id, ref: `${stream}:${seq}` },
      frame: encodeStamped(connection.stamp(session.lease), send),
    }
    if (fresh) message.fresh = true
    if (handshake !== undefined) message.handshake = handshake
    this.#route(message, now)
  }

  // An acknowledgement is free within what this connection was handed, or a victim would be cut for answering its
  // attackers. Beyond that each counts as a message. One to a peer that has sent nothing costs neither a look-up nor a
  // strike: after a move to another node the first one may be such, and its sender sends again.
  #acknowledgeAll(
    connection: NativeConnection,
    session: OnlineSession,
    { acks }: PeerMessageOf<'ack'>,
    waitMs: number,
    besideBytes: number,
  ): void {
    const { messages, rates } = connection
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
    } else if (waitMs === 0) {
      messages.give(1)
      rates.bytes.give(besideBytes)
    }
  }

  // It goes wherever the sender is by now: a route from before its return would lead nowhere, for good.
  #acknowledge(
    connection: NativeConnection,
    session: OnlineSession,
    { to, stream, next, unread }: PeerMessageOf<'ack'>['acks'][number],
  ): void {
    const from = session.peer
    this.#route({
      from,
      to: peerOf(appOf(from), to),
      wire: 'native',
      kind: 'ack',
      reply: { node: this.#node.id, connection: connection.id, ref: '' },
      frame: `${EVENT_PREFIX}${JSON.stringify(['acked', { from: nameOf(from), stream, next, unread }])}`,
    })
  }

  // An acknowledgement may wait for company: how long says nothing about the cluster.
  #route(message: Message, begunAt?: number): void {
    const outcome = this.#node.router.route(message)
    if (!(outcome instanceof Promise)) {
      this.#count(message, outcome)
      return
    }
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

  // What a handshake needs, not what a line carries: on any other's line it would fill the buffer of its recipient.
  #overSignals(connection: NativeConnection, body: string, now: number): 'rate-limited' | undefined {
    const bytes = Buffer.byteLength(body)
    if (connection.rates.signals.take(bytes, now) === 0) return undefined
    if (bytes > LONG_BYTES) connection.socket.pause(OVER_PAUSE_MS)
    return 'rate-limited'
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
