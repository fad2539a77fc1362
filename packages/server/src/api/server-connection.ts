import type { OpenTransport, TransportEvents } from '@peerage/client'
import type { Connection, Lease, Message, OnError, OnlineSession, ServerMessage } from '@peerage/core'
import { RegistryUnavailable, mintName } from '@peerage/core'
import type {
  App,
  CloseReason,
  ConnectionId,
  Hello,
  NodeMessage,
  PeerMessage,
  PeerMessageOf,
  ProtocolError,
} from '@peerage/protocol'
import {
  EVENT_PREFIX,
  PROTOCOL_VERSION,
  closeCodes,
  decodeNodeMessage,
  encodeNodeMessage,
  errorTexts,
  limits as wire,
  nameOf,
  peerOf,
  protocolError,
  stampOf,
} from '@peerage/protocol'
import { lookUp, messageFrom, noticeOf, presenceOf, unwatch, watch } from '../gateway/native/core-messages.js'
import type { GatewayMetrics } from '../gateway/shared/events.js'
import type { ApiNode } from './node.js'

export interface ServerConnectionOptions {
  node: ApiNode
  app: App
  /** How long the name is kept after a lapse, for the welcome. */
  graceMs: number
  metrics: Pick<GatewayMetrics, 'routed'>
  onError: OnError
}

/** Connects the peer of an application server to its own node, without a socket. */
export function serverTransport(options: ServerConnectionOptions): OpenTransport {
  return (hello, events) => {
    const connection = new ServerConnection(options, events)
    void connection.claim(hello)
    return { send: (message) => connection.take(message), close: () => connection.end() }
  }
}

/**
 * The connection of a peer that belongs to the node itself. The API sends with it. So the access rules and the limits of
 * peers do not apply, what it sends has the mark of application servers, and messages to it are refused.
 */
class ServerConnection implements Connection {
  readonly id: ConnectionId
  readonly wire = 'native'
  readonly isBehind = false
  isOpen = true
  readonly #options: ServerConnectionOptions
  readonly #events: TransportEvents
  #stamp: { lease: Lease; text: string } | undefined
  #ended: Promise<void> | undefined

  constructor(options: ServerConnectionOptions, events: TransportEvents) {
    this.#options = options
    this.#events = events
    this.id = options.node.sessions.newId()
    options.node.open(this)
  }

  async claim({ name = mintName(), secret }: Hello): Promise<void> {
    const { node, app, graceMs, onError } = this.#options
    try {
      // The SDK always sends a secret.
      const request = {
        peer: peerOf(app, name),
        secret: secret ?? '',
        policy: 'refuse',
        isListed: false,
      } as const
      const outcome = await node.claim(this, request)
      if (!this.isOpen) return
      if (!outcome.ok) {
        const error = protocolError(outcome.code, errorTexts[outcome.code])
        this.#later(() => this.#events.refused(error))
        await this.end()
        return
      }
      const { since } = outcome.session.lease
      // Each send has a deadline of its own, and nobody pings.
      const times = { graceMs, deadlineMs: graceMs, pingMs: graceMs }
      const relay = { bytesPerSecond: 0, messageBytes: wire.frameBytes }
      const p2p = { server: null, turn: null }
      this.#tell({
        type: 'welcome',
        app,
        name,
        since,
        v: PROTOCOL_VERSION,
        node: node.id,
        p2p,
        relay,
        ...times,
      })
    } catch (error) {
      onError(error, { stage: 'api peer' })
      this.close('internal')
    }
  }

  send(message: ServerMessage): boolean {
    if (!this.isOpen) return false
    switch (message.type) {
      case 'relay':
        this.#relayed(message.message)
        return true
      case 'notice':
        this.#tell(noticeOf(message))
        return true
      case 'presence':
        this.#tell(presenceOf(message))
        return true
      case 'said':
      case 'changed':
      case 'published':
      case 'handed':
        // It is in no room and no pool.
        return true
    }
  }

  close(reason: CloseReason): void {
    if (!this.isOpen) return
    this.#later(() => this.#events.closed(closeCodes[reason]))
    void this.end()
  }

  /** Ends the connection. Resolves when its name is free, or reserved. */
  end(): Promise<void> {
    this.isOpen = false
    const { node, onError } = this.#options
    this.#ended ??= node
      .end(this.id, 'gave-up')
      .catch((error: unknown) => onError(error, { stage: 'api peer' }))
    return this.#ended
  }

  /** Takes a message of the SDK. Returns false after the end. */
  take(message: PeerMessage): boolean {
    if (!this.isOpen) return false
    const { node, onError } = this.#options
    const session = node.sessions.get(this.id)
    if (message.type === 'leave') {
      if (session !== undefined)
        node.leave(session).catch((error: unknown) => onError(error, { stage: 'api peer' }))
      return true
    }
    if (session?.state !== 'online') return false
    if (message.type === 'send') this.#send(session, message)
    else if ('id' in message) void this.#answer(session, message)
    else if (message.type === 'unwatch') unwatch(node, session, message)
    // It receives no messages and makes no handshakes, so it has nothing to acknowledge or to report.
    return true
  }

  #relayed(message: Message): void {
    if (message.kind !== 'ack') {
      this.#options.node.router.refuse(message, 'forbidden')
      return
    }
    const [type, fields]: [string, unknown] = JSON.parse(message.frame.slice(EVENT_PREFIX.length))
    const decoded = decodeNodeMessage(type, fields)
    if (decoded.ok) this.#tell(decoded.value)
    else this.#later(() => this.#events.malformed(decoded.error))
  }

  #send(session: OnlineSession, send: PeerMessageOf<'send'>): void {
    const { node, metrics, onError } = this.#options
    const stamp = this.#stampOf(session.lease)
    const message = messageFrom(session, send, { node: node.id, connection: this.id, stamp })
    Promise.resolve(node.router.route(message)).then(
      (outcome) =>
        metrics.routed(
          'native',
          send.kind,
          typeof outcome === 'string' ? outcome : outcome.refused,
          message.frame.length,
        ),
      (error: unknown) => onError(error, { stage: 'route' }),
    )
  }

  #stampOf(lease: Lease): string {
    if (this.#stamp?.lease !== lease)
      this.#stamp = { lease, text: stampOf(nameOf(lease.peer), lease.since, true) }
    return this.#stamp.text
  }

  async #answer(session: OnlineSession, request: Extract<PeerMessage, { id: number }>): Promise<void> {
    const { id } = request
    try {
      const answer = await this.#answerOf(session, request)
      this.#tell('type' in answer ? answer : { type: 'error', id, ...answer })
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) this.#options.onError(error, { stage: request.type })
      this.#tell({
        type: 'error',
        id,
        code: 'registry-unavailable',
        detail: errorTexts['registry-unavailable'],
      })
    }
  }

  async #answerOf(
    session: OnlineSession,
    request: Extract<PeerMessage, { id: number }>,
  ): Promise<NodeMessage | ProtocolError> {
    const { node } = this.#options
    switch (request.type) {
      case 'lookup':
        return lookUp(node, session, request)
      case 'watch':
        return watch(node, session, request)
      // It speaks to rooms without being a member, and hears nothing of them.
      case 'join':
      case 'members':
        return { type: 'roomed', id: request.id, room: request.room, members: [], more: false }
      case 'part':
        return { type: 'done', id: request.id }
      case 'say':
        return this.#say(session, request)
      case 'ice':
        return { type: 'ice', id: request.id, turn: null }
      case 'renew':
        return protocolError('forbidden', 'this peer has no access token')
    }
  }

  async #say(
    { lease }: OnlineSession,
    { id, room, body }: PeerMessageOf<'say'>,
  ): Promise<NodeMessage | ProtocolError> {
    const { node, app, metrics } = this.#options
    const frame = encodeNodeMessage({
      type: 'said',
      room,
      from: nameOf(lease.peer),
      since: lease.since,
      body,
      server: true,
    })
    const sent = await node.rooms.sayFrom(app, room, frame)
    metrics.routed('native', 'room', sent === 'sent' ? 'forwarded' : 'registry-unavailable', frame.length)
    return sent === 'sent'
      ? { type: 'done', id }
      : protocolError('registry-unavailable', errorTexts['registry-unavailable'])
  }

  #tell(message: NodeMessage): void {
    this.#later(() => this.#events.message(message))
  }

  /** The SDK expects no event while it calls. */
  #later(tell: () => void): void {
    queueMicrotask(tell)
  }
}
