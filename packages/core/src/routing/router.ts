import type { ErrorCode, NodeId, Peer } from '@peerage/protocol'
import { nameOf } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Bus } from './bus.js'
import type { Envelope, Message } from './message.js'
import type { Mail } from './mail.js'
import type { Nodes } from '../names/nodes.js'
import type { NodeHeartbeat } from '../names/node-heartbeat.js'
import { presenceOf } from '../presence/presence.js'
import type { Lease, Registry } from '../names/registry.js'
import { RegistryUnavailable } from '../names/registry.js'
import type { OnlineSession, Sessions } from '../sessions/sessions.js'

/**
 * The outcome of a message, as far as this node knows it:
 * - `delivered`: handed to the recipient's connection on this node;
 * - `forwarded`: sent to the recipient's node. The message may be lost. The sender gets a notice if that node cannot
 *   deliver it;
 * - `held`: put into the mailbox. The sender gets a notice if the recipient does not come in time;
 * - `refused`: not sent. The sender has also been told with a notice, if the message has a `reply`.
 */
export type Outcome = 'delivered' | 'forwarded' | 'held' | { refused: ErrorCode }

export interface RouterOptions {
  /** This node's identity, and whether it may act for the cluster. */
  heartbeat: NodeHeartbeat
  sessions: Sessions
  registry: Registry
  nodes: Nodes
  bus: Bus
  mail: Mail
  /** How long a name is reserved for its holder. */
  graceMs: number
  /** The name was claimed elsewhere: ends the session of the former lease. */
  supersede: (end: Extract<Envelope, { type: 'superseded' | 'evicted' }>) => void
  /** An application server disconnects peers. */
  disconnect: (order: Extract<Envelope, { type: 'disconnect' }>) => void
  /** Another node tells something about a member of a pool. */
  pool: (envelope: Extract<Envelope, { type: 'hand' | 'moved' }>) => void
  /** One step of a handshake, for the logs of every node that handles it. */
  trace: (handshake: string, step: string) => void
  onError: OnError
}

/**
 * If this many nodes in a row no longer have the holder, the peer moves too fast for us, and we treat it as away.
 */
const HOPS_MOST = 3
/** Routes to peers of other nodes that are cached: about 300 bytes each. */
const ROUTES_MOST = 20_000

/**
 * Routes a message from a local session to its recipient's connection, on this node or another. Messages from other
 * nodes end in the same `#deliver` as local ones.
 */
export class Router {
  readonly #options: RouterOptions
  /** Where peers of other nodes were found last. Cleared when the store may have lost data, and bounded. */
  readonly #routes = new Map<Peer, Lease>()
  readonly #lookups = new Map<Peer, Promise<Lease | undefined>>()

  constructor(options: RouterOptions) {
    this.#options = options
  }

  /** The cached route of a peer is outdated. */
  forgetRoute(peer: Peer): void {
    this.#routes.delete(peer)
  }

  forgetRoutes(): void {
    this.#routes.clear()
  }

  /**
   * Routes a message of a local peer. A gateway calls this for each message. It is synchronous while the route is
   * known, so messages of one pair keep their order. Rejects only for bugs: an outage is a refusal.
   */
  route(message: Message): Outcome | Promise<Outcome> {
    const outcome = this.#route(message)
    if (message.handshake === undefined) return outcome
    const { handshake } = message
    const traced = (settled: Outcome): Outcome => {
      this.#options.trace(handshake, typeof settled === 'string' ? settled : settled.refused)
      return settled
    }
    return outcome instanceof Promise ? outcome.then(traced) : traced(outcome)
  }

  #route(message: Message): Outcome | Promise<Outcome> {
    const { sessions, heartbeat } = this.#options
    // A fenced node cannot use the registry, so it delivers to its own session even for a resend, and its peers can
    // still talk to each other [I12].
    const local = message.fresh && !heartbeat.fenced ? undefined : sessions.online(message.to)
    if (local && isBoundTo(message, local.lease)) return this.#deliver(local, message)
    if (heartbeat.fenced) return this.refuse(message, 'registry-unavailable')
    const known = this.#lookups.has(message.to) ? undefined : this.#routeOf(message)
    return known ? this.#forward(message, known, 0) : this.#find(message, 0)
  }

  /** The cached route to the recipient, if it is valid for this message. */
  #routeOf(message: Message): Lease | undefined {
    const known = message.fresh ? undefined : this.#routes.get(message.to)
    return known && isBoundTo(message, known) && this.#isLive(known) ? known : undefined
  }

  /** Whether the route to a peer is known, so that `route` sends at once, in the order of its calls. */
  knows(peer: Peer): boolean {
    if (this.#options.sessions.online(peer)) return true
    const known = this.#lookups.has(peer) ? undefined : this.#routes.get(peer)
    return known !== undefined && this.#isLive(known)
  }

  /** Subscribes to the bus under this node's current identity. Resolves when the subscription is active. */
  listen(): Promise<void> {
    const { bus, heartbeat } = this.#options
    return bus.subscribe(heartbeat.id, (envelope) => this.receive(envelope))
  }

  /** Handles an envelope from another node. */
  receive(envelope: Envelope): void {
    const { heartbeat, sessions, supersede, disconnect } = this.#options
    if (envelope.type === 'superseded' || envelope.type === 'evicted') {
      supersede(envelope)
      return
    }
    if (envelope.type === 'disconnect') return disconnect(envelope)
    // A fenced node may hold names that another node holds by now [I12].
    if (heartbeat.fenced) return
    switch (envelope.type) {
      case 'deliver': {
        const session = sessions.online(envelope.message.to)
        const here = session?.lease.epoch === envelope.epoch
        const { handshake } = envelope.message
        if (handshake !== undefined) this.#options.trace(handshake, here ? 'received' : 'gone')
        if (session && here) this.#caught('deliver', this.#deliver(session, envelope.message))
        else this.#bounce(envelope)
        return
      }
      case 'gone':
        this.#again(envelope)
        return
      case 'notice': {
        const connection = sessions.get(envelope.connection)?.connection
        connection?.send({ type: 'notice', to: nameOf(envelope.to), ref: envelope.ref, code: envelope.code })
        return
      }
      case 'hand':
      case 'moved':
        this.#options.pool(envelope)
        return
    }
  }

  /** The lease as the registry has it now. Overlapping look-ups of one name are one. */
  lookup(peer: Peer): Promise<Lease | undefined> {
    const pending = this.#lookups.get(peer)
    if (pending) return pending
    const lookup = this.#options.registry
      .lookup(peer)
      .then((lease) => {
        this.#routes.delete(peer)
        if (lease?.state === 'online') this.#keepRoute(lease)
        return lease
      })
      .finally(() => this.#lookups.delete(peer))
    this.#lookups.set(peer, lookup)
    return lookup
  }

  #keepRoute(lease: Lease): void {
    this.#routes.set(lease.peer, lease)
    if (this.#routes.size <= ROUTES_MOST) return
    const oldest = this.#routes.keys().next()
    if (!oldest.done) this.#routes.delete(oldest.value)
  }

  async #find(message: Message, hops: number): Promise<Outcome> {
    let lease: Lease | undefined
    try {
      lease = await this.lookup(message.to)
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) throw error
      const local = this.#options.sessions.online(message.to)
      if (local && isBoundTo(message, local.lease)) return this.#deliver(local, message)
      // The message waited for another caller's look-up. Without that look-up it would have used this route at once.
      const known = this.#options.heartbeat.fenced ? undefined : this.#routeOf(message)
      return known ? this.#forward(message, known, hops) : this.refuse(message, 'registry-unavailable')
    }
    return this.#dispatch(message, lease, hops)
  }

  #dispatch(message: Message, lease: Lease | undefined, hops: number): Outcome | Promise<Outcome> {
    const { heartbeat, sessions, nodes, graceMs } = this.#options
    const state = presenceOf(lease, nodes, graceMs)
    if (lease === undefined || state === 'offline') {
      return this.#absent(message, lease, heartbeat.recovering ? 'registry-unavailable' : 'unavailable')
    }
    if (!isBoundTo(message, lease)) return this.refuse(message, 'unavailable')
    if (state === 'away') return this.#absent(message, lease, 'away')
    if (lease.node !== heartbeat.id) return this.#forward(message, lease, hops)
    const session = sessions.online(message.to)
    // The registry says that the peer is here, but its socket has just ended.
    if (session?.lease.epoch !== lease.epoch) return this.#absent(message, lease, 'away')
    return this.#deliver(session, message)
  }

  #deliver(session: OnlineSession, message: Message): Outcome | Promise<Outcome> {
    const { connection, lease } = session
    if (connection.wire !== message.wire) return this.refuse(message, 'incompatible')
    if (connection.send({ type: 'relay', message })) return 'delivered'
    return connection.isOpen ? this.refuse(message, 'slow-consumer') : this.#absent(message, lease, 'away')
  }

  #forward(message: Message, lease: Lease, hops: number): Outcome | Promise<Outcome> {
    const { node, epoch } = lease
    return this.#options.bus.publish(node, { type: 'deliver', epoch, hops, message }).then((result) => {
      if (result === 'sent') return 'forwarded'
      return this.#unsent(message, epoch)
    })
  }

  // The node may be gone, so the next message looks up again. This message does not, or it would arrive after the
  // next one.
  #unsent(message: Message, epoch: number): { refused: ErrorCode } {
    if (this.#routes.get(message.to)?.epoch === epoch) this.#routes.delete(message.to)
    return this.refuse(message, 'registry-unavailable')
  }

  /** The bus had answered `sent` for this envelope, and found out later that it did not arrive. */
  undelivered(envelope: Envelope): void {
    if (envelope.type === 'deliver') this.#unsent(envelope.message, envelope.epoch)
    // These two arrive at most once, and nobody waits for them.
    else if (envelope.type !== 'hand' && envelope.type !== 'moved')
      this.#options.onError(new RegistryUnavailable('the bus could not send an answer to another node'), {
        stage: envelope.type,
      })
  }

  /**
   * The holder with the epoch of `gone` cannot take the message: it waits for the next holder, or is refused with
   * `code`.
   */
  #absent(
    message: Message,
    gone: { epoch: number } | undefined,
    code: ErrorCode,
  ): Outcome | Promise<Outcome> {
    return message.hold ? this.#hold(message, gone?.epoch) : this.refuse(message, code)
  }

  async #hold(message: Message, gone: number | undefined): Promise<Outcome> {
    try {
      return (await this.#options.mail.hold(message, gone)) ? 'held' : this.refuse(message, 'unavailable')
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) throw error
      return this.refuse(message, 'registry-unavailable')
    }
  }

  // The holder is not here [I5]. The whole message goes back, so that no node has to remember it.
  #bounce(envelope: { epoch: number; hops: number; message: Message }): void {
    const { epoch, hops, message } = envelope
    if (message.reply === undefined) return
    this.#publish(message.reply.node, { type: 'gone', epoch, hops, message })
  }

  #again(envelope: { epoch: number; hops: number; message: Message }): void {
    const { epoch, hops, message } = envelope
    if (this.#routes.get(message.to)?.epoch === epoch) this.#routes.delete(message.to)
    const isLast = hops >= HOPS_MOST
    const outcome = isLast ? this.#absent(message, envelope, 'away') : this.#find(message, hops + 1)
    this.#caught('route again', outcome)
  }

  /** Routes a message that waited in the mailbox. */
  routeAgain(message: Message): void {
    this.#caught('route from the mailbox', this.route(message))
  }

  /** For an outcome that no caller waits for. */
  #caught(stage: string, outcome: Outcome | Promise<Outcome>): void {
    if (outcome instanceof Promise) outcome.catch((error: unknown) => this.#options.onError(error, { stage }))
  }

  /** Tells the sender, on whichever node it is, and returns the refusal. */
  refuse(message: Message, code: ErrorCode): { refused: ErrorCode } {
    const { reply, to, kind } = message
    // A refused acknowledgement is not reported, because its sender would only acknowledge again [WR6].
    if (kind === 'ack') return { refused: code }
    if (reply?.node === this.#options.heartbeat.id) {
      const connection = this.#options.sessions.get(reply.connection)?.connection
      connection?.send({ type: 'notice', to: nameOf(to), ref: reply.ref, code })
    } else if (reply) {
      this.#publish(reply.node, { type: 'notice', connection: reply.connection, to, ref: reply.ref, code })
    }
    return { refused: code }
  }

  #publish(to: NodeId, envelope: Envelope): void {
    const { bus, onError } = this.#options
    bus.publish(to, envelope).then(
      (result) => {
        if (result === 'unavailable')
          onError(new RegistryUnavailable('the bus could not send an answer to another node'), {
            stage: envelope.type,
          })
      },
      (error: unknown) => onError(error, { stage: envelope.type }),
    )
  }

  #isLive(lease: Lease): boolean {
    return this.#options.nodes.status(lease.node).state === 'live'
  }
}

function isBoundTo(message: Message, lease: Lease): boolean {
  return message.since === undefined || message.since === lease.since
}
