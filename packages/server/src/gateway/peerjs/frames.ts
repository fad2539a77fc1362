import type { Message, OnlineSession, Outcome } from '@peerage/core'
import { errorTexts, nameOf } from '@peerage/protocol'
import { allows } from '../../access/grants.js'
import { costOf } from '../shared/frame-cost.js'
import type { Drops } from '../shared/drops.js'
import { LONG_BYTES, OVER_PAUSE_MS } from '../shared/limits.js'
import { OrderedPairs } from '../shared/ordered-pairs.js'
import type { PeerJsConnection } from './connection.js'
import { WANTS_EXPIRE } from './connection.js'
import type { PeerJsGatewayOptions } from './options.js'
import type { PeerFrame } from './wire.js'
import { decodePeerFrame } from './wire.js'

export interface PeerJsFramesOptions extends Pick<
  PeerJsGatewayOptions,
  'node' | 'clock' | 'limits' | 'metrics' | 'onError'
> {
  drops: Drops
}

type RelayFrame = Extract<PeerFrame, { type: 'relay' }>

/** Turns the frames of PeerJS peers into messages for the router, and reports their outcomes. */
export class PeerJsFrames {
  readonly #options: PeerJsFramesOptions
  readonly #pairs: OrderedPairs

  constructor(options: PeerJsFramesOptions) {
    this.#options = options
    this.#pairs = new OrderedPairs({
      router: options.node.router,
      clock: options.clock,
      settled: (message, outcome, ms) => this.#settled(message, outcome, ms),
      dropped: (message) => this.#overflowed(message),
      onError: options.onError,
    })
  }

  receive(connection: PeerJsConnection, text: string): void {
    const session = this.#options.node.sessions.get(connection.id)
    if (session?.state === 'online') this.#take(connection, session, text)
    else if (session?.state === 'opening' && !connection.keep(text)) {
      this.#options.drops.dropped('too-many', { text: 'frames before the name was claimed' })
      connection.close('rate-limited')
    }
  }

  #take(connection: PeerJsConnection, session: OnlineSession, text: string): void {
    const { node, onError } = this.#options
    const now = this.#options.clock.monotonic()
    const bytes = Buffer.byteLength(text)
    // Count every frame before it costs anything.
    const cost = costOf(text, bytes)
    const isLong = cost > LONG_BYTES
    // The rate of signals is what handshakes need, not what the sender's network can carry. On a slower network they
    // would fill the buffer of the recipient.
    const { signals } = connection.rates
    const over = this.#isOver(connection, cost, now) || (isLong && signals.take(bytes, now) > 0)
    if (over && isLong) connection.pause(OVER_PAUSE_MS)
    const frame = decodePeerFrame(text, connection.srcOf(session.peer))
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
        if (over || (!isLong && signals.take(bytes, now) > 0)) {
          this.#options.drops.dropped('rate-limited', { name: nameOf(session.peer) })
          connection.app?.count(false)
          if (frame.hold) connection.expire(frame.dst, errorTexts['rate-limited'])
          return
        }
        this.#relay(connection, session, frame)
    }
  }

  #relay(connection: PeerJsConnection, session: OnlineSession, frame: RelayFrame): void {
    const to = connection.recipientOf(session.peer, frame)
    if (to === undefined) {
      // No peer can ever have such a name, so there is nothing to wait for.
      if (frame.hold) connection.expire(frame.dst)
      return
    }
    // The grant is checked before anything is looked up, so it tells nothing about the id.
    const granted = connection.access?.to
    if (granted !== undefined && !allows(granted, nameOf(to))) {
      this.#options.metrics.routed('peerjs', 'signal', 'forbidden', 0)
      connection.app?.count(false)
      if (frame.hold) connection.expire(frame.dst, errorTexts.forbidden)
      return
    }
    connection.app?.count(true)
    this.#pairs.route({
      from: session.peer,
      to,
      wire: 'peerjs',
      kind: 'signal',
      hold: frame.hold,
      reply: { node: this.#options.node.id, connection: connection.id, ref: frame.hold ? WANTS_EXPIRE : '' },
      frame: frame.frame,
    })
  }

  /** Whether the peer is over its rates. If this happens too often, its connection ends. */
  #isOver(connection: PeerJsConnection, cost: number, now: number): boolean {
    const { messages, bytes } = connection.rates
    const over = messages.take(1, now) > 0 || bytes.take(cost, now) > 0
    if (over) connection.strike(now)
    return over
  }

  #settled(message: Message, outcome: Outcome, ms?: number): void {
    const result = typeof outcome === 'string' ? outcome : outcome.refused
    this.#options.metrics.routed('peerjs', 'signal', result, message.frame.length, ms)
    // A message that may wait is refused at once only if the mailbox is full.
    if (result === 'unavailable' && message.hold)
      this.#options.drops.dropped('mailbox-full', { name: message.to })
  }

  #overflowed(message: Message): void {
    this.#options.drops.dropped('too-many', { text: 'messages that wait for a lookup', name: message.to })
    if (message.hold) this.#options.node.router.refuse(message, 'rate-limited')
  }
}
