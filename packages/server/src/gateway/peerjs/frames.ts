import type { Clock, Message, Node, OnlineSession, Outcome } from '@peerage/core'
import { appOf, errorTexts, nameOf, parseName, peerOf } from '@peerage/protocol'
import type { Limits } from '../shared/limits.js'
import { costOf } from '../../lib/frame-cost.js'
import { LONG_BYTES, OVER_PAUSE_MS, TokenBucket } from '../shared/limits.js'
import type { GatewayMetrics } from '../shared/events.js'
import type { PeerJsConnection } from './connection.js'
import { WANTS_EXPIRE } from './connection.js'
import type { Drops } from '../shared/drops.js'
import { Pairs } from './pairs.js'
import type { PeerFrame } from './wire.js'
import { decodePeerFrame } from './wire.js'

export interface PeerJsFramesOptions {
  node: Node
  clock: Clock
  limits: Limits
  metrics: GatewayMetrics
  drops: Drops
  onError: (error: unknown, context: { stage: string }) => void
}

type RelayFrame = Extract<PeerFrame, { type: 'relay' }>

/** From a peer's frame to a message for the router, and what became of it. */
export class PeerJsFrames {
  readonly #options: PeerJsFramesOptions
  readonly #pairs: Pairs

  constructor(options: PeerJsFramesOptions) {
    this.#options = options
    this.#pairs = new Pairs({
      router: options.node.router,
      clock: options.clock,
      settled: (message, outcome, ms) => this.#settled(message, outcome, ms),
      dropped: (message) => this.#overflowed(message),
      onError: options.onError,
    })
  }

  /** Takes one frame of a peer that has its name. */
  take(connection: PeerJsConnection, session: OnlineSession, text: string): void {
    const { node, onError } = this.#options
    const bytes = Buffer.byteLength(text)
    // Counted before it costs anything, whatever it says.
    const cost = costOf(text, bytes)
    const isLong = cost > LONG_BYTES
    const over = this.isOver(connection, cost) || (isLong && this.#isOverSignals(connection, bytes))
    if (over && isLong) connection.pause(OVER_PAUSE_MS, this.#options.clock)
    const frame = decodePeerFrame(text, nameOf(session.peer))
    if (over && frame.type !== 'relay' && frame.type !== 'leave') return
    switch (frame.type) {
      case 'heartbeat':
      case 'ignored':
        return
      case 'malformed':
        this.#options.drops.dropped('malformed', { name: nameOf(session.peer), length: text.length })
        return
      case 'leave':
        node.leave(session).catch((error: unknown) => onError(error, { stage: 'leave' }))
        return
      case 'relay':
        if (over || (!isLong && this.#isOverSignals(connection, bytes))) {
          this.#options.drops.dropped('rate-limited', { name: nameOf(session.peer) })
          if (frame.hold) connection.expire(frame.dst, errorTexts['rate-limited'])
          return
        }
        this.#relay(connection, session, frame)
    }
  }

  #relay(connection: PeerJsConnection, session: OnlineSession, frame: RelayFrame): void {
    const name = parseName(frame.to)
    if (!name.ok) {
      // No peer can ever have such a name, so there is nothing to wait for.
      if (frame.hold) connection.expire(frame.dst)
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

  /** Whether what this peer sends is over its rates; if it goes on so, its connection ends. */
  isOver(connection: PeerJsConnection, length: number): boolean {
    const { limits } = this.#options
    const { messagesPerSecond, bytesPerSecond } = limits.values.connection
    const now = this.#options.clock.monotonic()
    if (connection.messages === undefined) {
      connection.messages = new TokenBucket(messagesPerSecond, now)
      if (connection.peer !== undefined) connection.messages.beside = limits.named(connection.peer)
    }
    connection.bytes ??= new TokenBucket(bytesPerSecond, now)
    const over = connection.messages.take(1, now) > 0 || connection.bytes.take(length, now) > 0
    if (over) connection.strike()
    return over
  }

  // What a handshake needs, not what a line carries: on any other's line it would fill the buffer of its recipient.
  #isOverSignals(connection: PeerJsConnection, bytes: number): boolean {
    const now = this.#options.clock.monotonic()
    connection.signals ??= new TokenBucket(this.#options.limits.values.connection.signalBytesPerSecond, now)
    return connection.signals.take(bytes, now) > 0
  }

  #settled(message: Message, outcome: Outcome, ms?: number): void {
    const result = typeof outcome === 'string' ? outcome : outcome.refused
    this.#options.metrics.routed('peerjs', 'signal', result, message.frame.length, ms)
    // What may wait and yet is refused at once found its mailbox full.
    if (result === 'unavailable' && message.hold)
      this.#options.drops.dropped('mailbox-full', { name: message.to })
  }

  #overflowed(message: Message): void {
    this.#options.drops.dropped('too-many', { text: 'messages behind a look-up', name: message.to })
    if (message.hold) this.#options.node.router.refuse(message, 'rate-limited')
  }
}
