import type { Clock, Message, Node, OnlineSession, Outcome, Session } from '@peerage/core'
import type { PeerMessage, PeerMessageOf, ProtocolError } from '@peerage/protocol'
import {
  EVENT_PREFIX,
  appOf,
  decodeFrame,
  encodeNodeMessage,
  errorTexts,
  nameOf,
  peerOf,
  protocolError,
} from '@peerage/protocol'
import { allows } from '../../access/grants.js'
import type { AccessEnds } from '../shared/access-ends.js'
import { costOf, holdsTooMuch } from '../shared/frame-cost.js'
import { LONG_BYTES, OVER_PAUSE_MS } from '../shared/limits.js'
import { HandshakeReports } from './handshake-reports.js'
import type { NativeConnection } from './connection.js'
import { messageFrom } from './core-messages.js'
import type { NativeEntry } from './entry.js'
import { NativeRequests } from './requests.js'
import type { NativeGatewayOptions } from './options.js'

export interface NativeFramesOptions extends Pick<
  NativeGatewayOptions,
  | 'node'
  | 'clock'
  | 'limits'
  | 'metrics'
  | 'access'
  | 'revocations'
  | 'log'
  | 'turn'
  | 'commandMs'
  | 'onRefused'
  | 'onError'
> {
  accessEnds: AccessEnds
}

const HOLDS_TOO_MUCH = protocolError(
  'bad-frame',
  'the frame holds more keys, strings or numbers than any message has',
)

/** Handles the frames of native peers: decodes each, checks its limits, hands it to the core and answers. */
export class NativeFrames {
  readonly #options: NativeFramesOptions
  readonly #node: Node
  readonly #clock: Clock
  readonly #entry: Pick<NativeEntry, 'malformed'>
  readonly #requests: NativeRequests
  readonly #reports: HandshakeReports

  constructor(options: NativeFramesOptions, entry: Pick<NativeEntry, 'malformed'>) {
    this.#options = options
    this.#node = options.node
    this.#clock = options.clock
    this.#entry = entry
    this.#reports = new HandshakeReports(options)
    this.#requests = new NativeRequests(options)
  }

  receive(connection: NativeConnection, frame: string): void {
    // Count the frame before parsing it.
    const bytes = Buffer.byteLength(frame)
    const now = this.#clock.monotonic()
    const { rates } = connection
    const cost = costOf(frame, bytes)
    const waitMs = Math.max(rates.messages.take(1, now), rates.bytes.take(cost, now))
    const isLong = bytes > LONG_BYTES
    if (waitMs > 0 && isLong) connection.pause(OVER_PAUSE_MS)
    if (holdsTooMuch(cost, bytes)) return this.#broken(connection, HOLDS_TOO_MUCH)
    const decoded = decodeFrame(frame)
    if (!decoded.ok) return this.#broken(connection, decoded.error, decoded.id)
    const message = decoded.value
    const session = this.#node.sessions.get(connection.id)
    if (session?.state === 'opening' && connection.isClaiming && message.type === 'leave')
      return this.#leave(session, message)
    // The peer has left, and gets the close when its name is free.
    if (session?.state === 'closing') return
    if (session?.state !== 'online') {
      const error = protocolError('not-claimed', errorTexts['not-claimed'])
      return this.#broken(connection, error, 'id' in message ? message.id : undefined)
    }
    if (message.type === 'ack')
      return this.#acknowledgeAll(connection, session, message, waitMs, cost - bytes)
    // A `leave` is never refused, because a peer that leaves costs nothing more.
    if (waitMs > 0 && message.type !== 'leave') {
      if (!isLong && cost > LONG_BYTES) connection.pause(OVER_PAUSE_MS)
      this.#tooFast(connection, waitMs, message)
      return
    }
    this.#handle(connection, session, message, now)
  }

  /** Refuses a frame that is itself wrong. `id` is the id of the request, if it had one. */
  #broken(connection: NativeConnection, error: ProtocolError, id?: number): void {
    this.#entry.malformed(connection, error, () => connection.fail(error, id))
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
      case 'renew':
        this.#requests.take(connection, message)
        return
      case 'ice':
        this.#ice(connection, session, message)
        return
      case 'report':
        this.#reports.take(connection.nativeRates, message)
        return
      case 'leave':
        this.#leave(session, message)
        return
    }
  }

  #ice(connection: NativeConnection, session: OnlineSession, { id }: PeerMessageOf<'ice'>): void {
    const { app } = connection
    if (app === undefined) return
    const turn = this.#options.turn(session, app.policy.turn)
    connection.write(encodeNodeMessage({ type: 'ice', id, turn }))
  }

  #leave(session: Session, { onlyNew = false }: PeerMessageOf<'leave'>): void {
    this.#node
      .leave(session, onlyNew ? 'gave-up' : 'left')
      .catch((error: unknown) => this.#options.onError(error, { stage: 'leave' }))
  }

  #send(
    connection: NativeConnection,
    session: OnlineSession,
    send: PeerMessageOf<'send'>,
    now: number,
  ): void {
    const { to, stream, seq, kind } = send
    const refused = this.#refusalOf(connection, send, now)
    if (refused) {
      connection.write(encodeNodeMessage({ type: 'notice', to, stream, seq, code: refused }))
      this.#options.metrics.routed('native', kind, refused, 0)
      connection.app?.count(false)
      return
    }
    connection.app?.count(true)
    const stamp = connection.stamp(session.lease)
    const message = messageFrom(session, send, { node: this.#node.id, connection: connection.id, stamp })
    this.#route(message, now)
  }

  // The grant is checked before anything is looked up, so it tells nothing about the name.
  #refusalOf(
    connection: NativeConnection,
    { to, kind, body }: PeerMessageOf<'send'>,
    now: number,
  ): 'forbidden' | 'relay-refused' | 'rate-limited' | undefined {
    const granted = connection.access?.to
    if (granted !== undefined && !allows(granted, to)) return 'forbidden'
    return kind === 'message' ? connection.overRelay(body, now) : this.#overSignals(connection, body, now)
  }

  // An acknowledgement of a message that this connection got is free. Otherwise a peer would be cut for answering a
  // flood. Every other acknowledgement counts as a message. One to a peer that has sent nothing is ignored and counts
  // for nothing: after a move to another node the first acknowledgement may be of this kind, and the sender sends again.
  #acknowledgeAll(
    connection: NativeConnection,
    session: OnlineSession,
    { acks }: PeerMessageOf<'ack'>,
    waitMs: number,
    extraCost: number,
  ): void {
    const { rates } = connection
    const now = this.#clock.monotonic()
    // The frame has been counted already. This pays for the first acknowledgement that is not free.
    let counted = waitMs === 0
    let overMs = waitMs
    let due = 0
    for (const ack of acks) {
      const answers = connection.acknowledge(peerOf(appOf(session.peer), ack.to))
      if (answers === 'unknown') continue
      if (answers === 'due') due++
      else if (counted) counted = false
      else {
        overMs = rates.messages.take(1, now)
        if (overMs > 0) continue
      }
      this.#acknowledge(connection, session, ack)
    }
    if (due < acks.length) {
      if (overMs > 0) this.#tooFast(connection, overMs, { type: 'ack', acks })
    } else if (waitMs === 0) {
      rates.messages.giveBack(1)
      rates.bytes.giveBack(extraCost)
    }
  }

  // No `since`: the acknowledgement must reach the sender's current session. If it named the session before a reconnect,
  // it would never arrive.
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

  // Acknowledgements pass no `begunAt`. They may wait to be batched, so their duration says nothing about the cluster.
  #route(message: Message, begunAt?: number): void {
    const outcome = this.#node.router.route(message)
    if (!(outcome instanceof Promise)) {
      this.#count(message, outcome)
      return
    }
    outcome.then(
      (settled) =>
        this.#count(message, settled, begunAt === undefined ? undefined : this.#clock.monotonic() - begunAt),
      (error: unknown) => this.#options.onError(error, { stage: 'route' }),
    )
  }

  #count(message: Message, outcome: Outcome, ms?: number): void {
    const result = typeof outcome === 'string' ? outcome : outcome.refused
    this.#options.metrics.routed('native', message.kind, result, message.frame.length, ms)
  }

  // Limits signals to what handshakes need, not to what the sender's network can carry. On a slower network they would
  // fill the buffer of the recipient.
  #overSignals(connection: NativeConnection, body: string, now: number): 'rate-limited' | undefined {
    const bytes = Buffer.byteLength(body)
    if (connection.rates.signals.take(bytes, now) === 0) return undefined
    if (bytes > LONG_BYTES) connection.pause(OVER_PAUSE_MS)
    return 'rate-limited'
  }

  // A refused `send` is answered with a notice, so that the sender knows which message. The SDK then slows down and
  // sends it again.
  #tooFast(connection: NativeConnection, waitMs: number, message: PeerMessage): void {
    this.#options.metrics.rejected('native', 'rate-limited')
    connection.app?.count(false)
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
