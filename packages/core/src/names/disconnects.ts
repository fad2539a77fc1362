import type { App, NodeId, Peer } from '@peerage/protocol'
import { nameOf, peerOf } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock } from '../lib/clock.js'
import { presenceOf } from '../presence/presence.js'
import type { Bus } from '../routing/bus.js'
import type { Envelope, Whom } from '../routing/message.js'
import type { AdmittedSession, CloseOptions, Sessions } from '../sessions/sessions.js'
import { appOfSession } from '../sessions/sessions.js'
import type { Leases } from './leases.js'
import type { NodeHeartbeat } from './node-heartbeat.js'
import type { Nodes } from './nodes.js'
import { RegistryUnavailable, type Lease } from './registry.js'

export interface DisconnectsOptions {
  heartbeat: Pick<NodeHeartbeat, 'id'>
  sessions: Sessions
  leases: Leases
  nodes: Nodes
  bus: Bus
  clock: Clock
  graceMs: number
  /** How long a connection may wait for its name. A claim of an older connection does not win. */
  claimMs: number
  lookup: (peer: Peer) => Promise<Lease | undefined>
  /** Closes the connection with `disconnected`, and ends what the peer holds. */
  end: (session: AdmittedSession, how: Required<CloseOptions>) => void
  onEvent: (event: string, details: Record<string, unknown>) => void
  onError: OnError
}

/**
 * `code` is the close code: 4505, or 4504 if their tokens were revoked, or one of the application's own (4400 to 4499: the
 * peer comes back, 4900 to 4999: it does not). `before`: only peers whose token was issued before this time (Unix ms), or whose time of issue is unknown.
 */
export interface DisconnectOptions {
  code: number
  text: string
  before?: number
}

type Order = Extract<Envelope, { type: 'disconnect' }>

/** Orders that are remembered, some 300 bytes each. Beyond that the oldest is forgotten. */
const REMEMBERED_MOST = 10_000
/** A connection may be closed this much after the end of its time to claim: by the next beat but one. */
const MARGIN_MS = 5_000

/**
 * Disconnects peers on request of an application server. A peer may have been admitted before the request, and win its
 * claim after it. So each node remembers a request until no connection from before the request can win a claim.
 */
export class Disconnects {
  readonly #options: DisconnectsOptions
  readonly #remembered = new Map<string, { order: Order; at: number }>()

  constructor(options: DisconnectsOptions) {
    this.#options = options
  }

  /**
   * Disconnects peers of an app, on all nodes: an application server wants it. Their connections are closed with
   * `disconnected`, this code and this text, or with `token-expired` if the code is 4504. Their names are free at once, or
   * wait for them if they may come back. A name that is away is free at once. A connection that is open now and claims its name later is closed, too.
   *
   * `closed`: how many peers that was. Undefined: other nodes were told, and do not say how many peers they closed, or the
   * node of the peer could not be told, or the registry does not say where the name is. In the last case the nodes are
   * told all the same, and only a name of a dead node is not freed.
   *
   * @example
   * ```ts
   * await node.disconnects.disconnect(app, { identity: 'user-17' }, { code: 4505, text: 'signed out' })
   * ```
   */
  async disconnect(app: App, whom: Whom, how: DisconnectOptions): Promise<{ closed: number | undefined }> {
    const order: Order = { type: 'disconnect', app, whom, ...how }
    if (!('name' in whom)) {
      const closed = this.receive(order)
      return { closed: this.#tellAll(order).size === 0 ? closed : undefined }
    }
    const found = await this.#find(peerOf(app, whom.name))
    const closed = this.receive(order)
    const told = this.#tellAll(order)
    if (found === 'unknown') return { closed: closed > 0 ? closed : undefined }
    return { closed: await this.#endLease(found, told) }
  }

  async #find(peer: Peer): Promise<Lease | undefined | 'unknown'> {
    try {
      return await this.#options.lookup(peer)
    } catch (error) {
      if (error instanceof RegistryUnavailable) return 'unknown'
      throw error
    }
  }

  /** Another node, or this one, asks for it. Returns how many peers of this node it meant. */
  receive(order: Order): number {
    this.#remember(order)
    const { sessions, leases, end, onError } = this.#options
    const { app, whom } = order
    let closed = 0
    for (const session of 'name' in whom
      ? [sessions.online(peerOf(app, whom.name))]
      : sessions.allAdmitted()) {
      if (session === undefined || !means(order, session)) continue
      closed++
      end(session, order)
    }
    if (closed > 0 || !('name' in whom)) return closed
    const kept = leases.of(peerOf(app, whom.name))
    if (kept?.state !== 'away') return closed
    leases
      .releaseOrSuspend(kept, 'release')
      .catch((error: unknown) => onError(error, { stage: 'disconnect' }))
    return 1
  }

  /** Ends one session of this node, as a disconnect does. */
  end(session: AdmittedSession, how: Required<CloseOptions>): void {
    this.#options.end(session, how)
  }

  /**
   * This session has just claimed its name, or come in without one, over a connection that was opened at `openedAt`
   * (monotonic). Ends it and returns true if it was to be disconnected meanwhile.
   */
  endsLate(session: AdmittedSession, openedAt: number): boolean {
    for (const key of keysOf(session)) {
      const known = this.#remembered.get(key)
      if (known === undefined || known.at <= openedAt || !means(known.order, session)) continue
      this.#options.end(session, known.order)
      return true
    }
    return false
  }

  #remember(order: Order): void {
    const now = this.#options.clock.monotonic()
    const oldest = now - this.#options.claimMs - MARGIN_MS
    for (const [key, { at }] of this.#remembered) {
      if (at >= oldest && this.#remembered.size < REMEMBERED_MOST) break
      this.#remembered.delete(key)
    }
    const key = keyOf(order)
    this.#remembered.delete(key)
    this.#remembered.set(key, { order, at: now })
  }

  /** Returns which nodes are told. */
  #tellAll(order: Order): Told {
    const { nodes, heartbeat } = this.#options
    const others = nodes.list().filter(({ node, status }) => status.state === 'live' && node !== heartbeat.id)
    return new Map(others.map(({ node }) => [node, this.#tell(node, order)]))
  }

  async #tell(node: NodeId, order: Order): Promise<boolean> {
    const { bus, onEvent, onError } = this.#options
    try {
      const isHeard = (await bus.publish(node, order)) !== 'unavailable'
      if (!isHeard) onEvent('disconnect not told', { node })
      return isHeard
    } catch (error) {
      onError(error, { stage: 'disconnect' })
      return false
    }
  }

  /** The node of this lease has been told. If there is no such node any more, nobody else frees the name. */
  async #endLease(lease: Lease | undefined, told: Told): Promise<number | undefined> {
    const { nodes, graceMs, leases } = this.#options
    if (lease === undefined || presenceOf(lease, nodes, graceMs) === 'offline') return 0
    if (nodes.status(lease.node).state === 'dead') await leases.releaseOrSuspend(lease, 'release')
    return (await told.get(lease.node)) === false ? undefined : 1
  }
}

/** The nodes that were told of an order, and whether each has heard it. */
type Told = ReadonlyMap<NodeId, Promise<boolean>>

function means({ app, whom, before }: Order, session: AdmittedSession): boolean {
  const { holder } = session
  if (appOfSession(session) !== app) return false
  if (before !== undefined && holder?.issuedAt !== undefined && holder.issuedAt >= before) return false
  if ('name' in whom) return session.state === 'online' && nameOf(session.peer) === whom.name
  if ('identity' in whom) return holder?.identity === whom.identity
  return holder?.tokenId === whom.tokenId
}

function keyOf({ app, whom }: Order): string {
  if ('name' in whom) return `${app} name ${whom.name}`
  if ('identity' in whom) return `${app} identity ${whom.identity}`
  return `${app} token ${whom.tokenId}`
}

/** The keys under which an order for this peer may be remembered. */
function keysOf(session: AdmittedSession): string[] {
  const { holder } = session
  const app = appOfSession(session)
  const keys = session.state === 'online' ? [`${app} name ${nameOf(session.peer)}`] : []
  if (holder?.identity !== undefined) keys.push(`${app} identity ${holder.identity}`)
  if (holder?.tokenId !== undefined) keys.push(`${app} token ${holder.tokenId}`)
  return keys
}
