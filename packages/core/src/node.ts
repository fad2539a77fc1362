import type { App, CloseReason, ConnectionId, ErrorCode, NodeId, Peer } from '@peerage/protocol'
import { closeCodes, mayReconnect } from '@peerage/protocol'
import type { Backend, BackendEvent, OnError } from './backend.js'
import type { Clock } from './lib/clock.js'
import { inTurn } from './lib/in-turn.js'
import type { ClaimOutcome, ClaimRequest, Ending } from './names/claims.js'
import { Claims } from './names/claims.js'
import { Disconnects } from './names/disconnects.js'
import { Indexing } from './names/indexing.js'
import { Leases } from './names/leases.js'
import { Listing } from './names/listing.js'
import { NodeHeartbeat } from './names/node-heartbeat.js'
import type { Lease } from './names/registry.js'
import { RegistryUnavailable, isNew } from './names/registry.js'
import { Settling } from './names/settling.js'
import { suspendAll } from './names/suspend-all.js'
import type { Seen } from './presence/presence.js'
import { seenOf } from './presence/presence.js'
import { Watchers } from './presence/watchers.js'
import { Pools } from './pools/pools.js'
import { AnonymousRooms } from './rooms/anonymous-rooms.js'
import { Rooms } from './rooms/rooms.js'
import { Mail } from './routing/mail.js'
import { Router } from './routing/router.js'
import type {
  AdmittedSession,
  AnonymousSession,
  CloseOptions,
  Connection,
  Holder,
  Session,
} from './sessions/sessions.js'
import { Sessions } from './sessions/sessions.js'
import type { Times } from './times.js'

export interface NodeOptions {
  backend: Backend
  times: Times
  clock: Clock
  /** How long a connection may stay open before it claims a name or is admitted without one, in milliseconds. */
  claimMs: number
  /** How long a mailbox keeps messages for an absent peer, in milliseconds. */
  mailboxMs: number
  onError: OnError
  /** Called for the log with an event of this node: one word, and details. */
  onEvent: (event: string, details: Record<string, unknown>) => void
}

/** Why a node takes no new peers. Safe to show to anyone. */
export type Unready = 'starting' | 'draining' | 'store' | 'fenced' | 'listening' | 'settling' | 'port'

/** `why` is only for the operator: it may contain addresses and the store's own error text. */
export type Readiness = { ready: true } | { ready: false; reason: Unready; why: string }

export type Admission = { ok: true; session: AnonymousSession } | { ok: false; code: ErrorCode }

/**
 * One process of the cluster. Its parts are public, and a gateway calls them directly: `router` for messages,
 * `sessions` for connections, `mail`, `watchers` and `rooms` where its wire has these features, `anonymousRooms` and
 * `pools` where the peers of its wire have no names. `indexing`, `listing` and `disconnects` are for application servers,
 * and `listing` also for discovery. The node itself does what needs several parts: its own life (start, drain, stop), the
 * life of a connection (open, claim or admit, leave, end), and look-ups.
 *
 * A gateway for another wire makes these calls. `WebSocketGateway` of packages/server makes most of them for a wire
 * over WebSockets:
 * - `sessions.newId()` and `open(connection)` when a socket opens, with its own implementation of `Connection`;
 * - `claim(connection, request)` when the peer asks for a name. After a success, if the wire's messages set `hold`,
 *   also `mail.take(peer)`;
 * - or `admit(connection, app)` if the peers of the wire have no names, and then `anonymousRooms` or `pools`;
 * - `router.route(message)` for each message from the peer (see `Message`);
 * - `leave(session)` when the peer says that it leaves;
 * - `end(connection.id, how)` once, when the socket has ended, for whatever reason;
 * - `connection.close('drain')` for each of its connections when the node drains (`draining`). It then takes no new
 *   ones.
 */
export class Node {
  /**
   * The identity of this process in the cluster. It changes after a lapse [I7]. It is a plain field because every
   * message reads it.
   */
  id: NodeId
  readonly sessions = new Sessions()
  readonly leases: Leases
  readonly router: Router
  readonly mail: Mail
  readonly watchers: Watchers
  readonly rooms: Rooms
  /** For wires whose peers have no names. */
  readonly anonymousRooms: AnonymousRooms
  readonly pools: Pools
  readonly indexing: Indexing
  readonly listing: Listing
  readonly disconnects: Disconnects
  readonly #options: NodeOptions
  readonly #heartbeat: NodeHeartbeat
  readonly #settling: Settling
  readonly #claims: Claims
  #store = { healthy: false, reason: 'starting' as Unready, why: 'starting' }
  #draining = false
  /**
   * Whether the store has been started. Before that, this node is not in the set of nodes and has nothing to leave.
   */
  #storeStarted = false
  #stopped = false

  constructor(options: NodeOptions) {
    this.#options = options
    const { backend, times, clock, onEvent, onError } = options
    const { registry, nodes, bus, presence } = backend
    const { sessions } = this
    this.#heartbeat = new NodeHeartbeat({
      backend,
      times,
      clock,
      listen: () => this.router.listen(),
      moveNames: async (to, from) => {
        for (const lease of await this.leases.move(to, from)) sessions.move(lease)
      },
      restore: () => this.#restore(),
      onView: () => {
        this.#settling.update()
        this.pools.seen()
      },
      onBeat: () => this.#onBeat(),
      afterBeat: () => sessions.closeOverdue(clock.monotonic()),
      onLapse: (former, node) => {
        this.id = node
        this.router.forgetRoutes()
        this.anonymousRooms.doubt()
        onEvent('lapsed', { former, node })
      },
      onError,
    })
    this.id = this.#heartbeat.id
    const heartbeat = this.#heartbeat
    const shared = { ...times, heartbeat, registry, nodes, bus, presence, sessions, clock, onEvent, onError }
    this.indexing = new Indexing({ ...shared, index: backend.index, leases: () => this.leases.all() })
    this.listing = new Listing({ ...shared, index: backend.index, indexing: this.indexing })
    this.leases = new Leases({
      ...shared,
      index: this.indexing,
      lost: (lost) => this.#claims.leaseLost(lost),
      sinceChanged: (lease) => this.#claims.sinceChanged(lease),
      evicted: (lease) => this.#claims.tellEnd('evicted', lease),
    })
    const onWait = (why: string, ms: number): void => onEvent('settling', { why, ms })
    this.#settling = new Settling({ ...shared, times, onWait })
    this.#claims = new Claims({
      ...shared,
      leases: this.leases,
      settling: this.#settling,
      draining: () => this.#draining,
      forgetRoute: (peer) => this.router.forgetRoute(peer),
    })
    this.mail = new Mail({
      ...shared,
      mailbox: backend.mailbox,
      expireMs: options.mailboxMs,
      arrived: (message) => this.router.routeAgain(message),
      expired: (message) => this.router.refuse(message, 'unavailable'),
    })
    this.router = new Router({
      ...shared,
      mail: this.mail,
      supersede: (end) => this.#claims.supersede(end),
      disconnect: (order) => void this.disconnects.receive(order),
      pool: (envelope) => this.pools.receive(envelope),
      trace: (handshake, step) => onEvent('signal', { handshake, step }),
    })
    this.watchers = new Watchers(shared)
    this.anonymousRooms = new AnonymousRooms({ ...shared, registry: backend.rooms })
    this.rooms = new Rooms({
      ...shared,
      registry: backend.rooms,
      seats: backend.seats,
      replaced: (id) => this.#replaced(id),
    })
    this.pools = new Pools({ ...shared, registry: backend.pools })
    this.disconnects = new Disconnects({
      ...shared,
      leases: this.leases,
      claimMs: options.claimMs,
      lookup: (peer) => this.router.lookup(peer),
      end: (session, how) => this.#disconnected(session, how),
    })
  }

  get draining(): boolean {
    return this.#draining
  }

  /** True while this node may not act for the cluster, because its lease could not be renewed in time [I12]. */
  get fenced(): boolean {
    return this.#heartbeat.fenced
  }

  /** True while the registry may not know a name because the name's node has not written it back yet. */
  get recovering(): boolean {
    return this.#heartbeat.recovering
  }

  /** Connects and begins to beat. Rejects only when no retry can help; a store that cannot be reached is retried. */
  async start(): Promise<void> {
    this.#options.backend.identify(this.id)
    await this.#options.backend.start((event) => this.#onBackend(event))
    this.#storeStarted = true
    await this.#heartbeat.beat()
  }

  readiness(): Readiness {
    const not = (reason: Unready, why: string): Readiness => ({ ready: false, reason, why })
    if (this.#draining) return not('draining', 'draining')
    if (!this.#store.healthy) return not(this.#store.reason, this.#store.why)
    const { unready } = this.#heartbeat
    if (unready) return not(unready.reason, unready.why)
    if (!this.#settling.wasEverSettled)
      return not('settling', 'waiting until the other nodes have written their names back')
    return { ready: true }
  }

  /**
   * Registers a connection whose socket has opened. The connection has `claimMs` to claim a name, or to be admitted
   * without one; otherwise the node closes it with `claim-timeout`. The gateway must call `end` once, when the socket has ended.
   */
  open(connection: Connection): Session {
    const now = this.#options.clock.monotonic()
    return this.sessions.open(connection, now, now + this.#options.claimMs)
  }

  /**
   * Claims a name for a connection that has none. Expected outcomes are values: a refusal carries the error code for
   * the peer. `name-taken` is the same answer for every reason. On success the session is online, and the node
   * delivers to it. A second claim of the same connection gets `already-claimed`. Throws only for bugs.
   */
  async claim(connection: Connection, request: ClaimRequest): Promise<ClaimOutcome> {
    const opening = this.sessions.get(connection.id)
    if (opening?.state !== 'opening') return { ok: false, code: 'already-claimed' }
    // Other nodes could not reach a peer that claims here now.
    if (!this.#heartbeat.active) return { ok: false, code: 'registry-unavailable' }
    const outcome = await this.#claims.claim(connection, request)
    if (!outcome.ok || !this.disconnects.endsLate(outcome.session, opening.openedAt)) return outcome
    return { ok: false, code: 'not-claimed' }
  }

  /**
   * Lets a connection in without a name, for a wire whose peers have none. On success the session is anonymous: it may
   * join anonymous rooms and enter pools. Its rooms and memberships end with `end`. `holder`: what an application server
   * can disconnect the peer by. Refused with `draining`, and with `registry-unavailable` while this node does not take part
   * in the cluster. `not-claimed`: the peer was to be disconnected meanwhile, and its connection is closed.
   *
   * @example
   * ```ts
   * const admission = node.admit(connection, app)
   * if (!admission.ok) return refuse(connection, admission.code)
   * await node.anonymousRooms.join(admission.session, roomIdOf(app, room, 'y-webrtc'))
   * ```
   */
  admit(connection: Connection, app: App, holder?: Holder): Admission {
    const opening = this.sessions.get(connection.id)
    if (opening?.state !== 'opening') return { ok: false, code: 'already-claimed' }
    if (this.#draining) return { ok: false, code: 'draining' }
    if (!this.#heartbeat.active) return { ok: false, code: 'registry-unavailable' }
    const event = { type: 'admitted', app, ...(holder === undefined ? {} : { holder }) } as const
    const session = this.sessions.apply(connection.id, event)
    if (session?.state !== 'anonymous' || this.disconnects.endsLate(session, opening.openedAt))
      return { ok: false, code: 'not-claimed' }
    return { ok: true, session }
  }

  /**
   * The socket of this connection has ended, in the way that `how` says. Call it once for each opened connection. It
   * frees the name or suspends it, and ends the connection's watches and its memberships of rooms. An outage of the
   * store does not reject: the change is retried.
   */
  async end(connection: ConnectionId, how: Ending): Promise<void> {
    this.watchers.forget(connection)
    if (how === 'left') this.#claims.left(connection)
    await this.#endName(this.sessions.remove(connection), connection, how)
  }

  /**
   * The peer gives its name back, or gives up a claim that has no answer yet. Then the node closes the connection
   * with `left`: after the registry has freed the name, or could not be reached.
   */
  async leave(session: Session, how: Exclude<Ending, 'dropped'> = 'left'): Promise<void> {
    const { id } = session.connection
    if (how === 'left') this.#claims.left(id)
    this.sessions.apply(id, { type: 'close', reason: 'left' })
    try {
      await this.#claims.answered(id)
      await this.#endName(session, id, how)
    } finally {
      session.connection.close('left')
    }
  }

  #disconnected(session: AdmittedSession, { code, text }: Required<CloseOptions>): void {
    // A peer whose token was revoked may come back with another one, as after the end of a token.
    const isRevoked = code === closeCodes['token-expired']
    const reason = isRevoked ? 'token-expired' : 'disconnected'
    const ending = isRevoked || mayReconnect(code) ? 'dropped' : 'left'
    this.#closeAtOnce(session, ending, reason, isRevoked ? {} : { code, text })
  }

  /** For the others, this peer has left a room or has no seat any more. So it must learn that it is alone. */
  #replaced(id: ConnectionId): void {
    const session = this.sessions.get(id)
    if (session?.state === 'online') this.#closeAtOnce(session, 'left', 'registry-unavailable')
  }

  /** Ends what the peer holds without waiting for its socket to end. */
  #closeAtOnce(session: AdmittedSession, how: Ending, reason: CloseReason, options?: CloseOptions): void {
    const { connection } = session
    this.watchers.forget(connection.id)
    this.sessions.apply(connection.id, { type: 'close', reason })
    this.#endName(session, connection.id, how).catch((error: unknown) =>
      this.#options.onError(error, { stage: 'disconnect' }),
    )
    connection.close(reason, options)
  }

  async #endName(session: Session | undefined, connection: ConnectionId, how: Ending): Promise<void> {
    this.anonymousRooms.forget(connection)
    this.pools.forget(connection)
    const lease = session?.state === 'online' ? session.lease : undefined
    const isFree = how === 'left' || (how === 'gave-up' && lease !== undefined && isNew(lease))
    await Promise.all([
      lease && this.leases.releaseOrSuspend(lease, isFree ? 'release' : 'suspend'),
      this.rooms.forget(connection, isFree ? 'left' : 'dropped'),
    ])
  }

  /**
   * The presence of each of `peers` now, in the same order. Rejects with RegistryUnavailable when the registry fails,
   * unless all of them are connected to this node.
   */
  async lookup(peers: readonly Peer[]): Promise<Seen[]> {
    return Promise.all(peers.map((peer) => this.#lookup(peer)))
  }

  async #lookup(peer: Peer): Promise<Seen> {
    const { backend, times } = this.#options
    try {
      return seenOf(await this.router.lookup(peer), backend.nodes, times.graceMs)
    } catch (error) {
      // Peers of this node still find each other during an outage of the registry [I12].
      const here = this.sessions.online(peer)
      if (!(error instanceof RegistryUnavailable) || here === undefined) throw error
      return { state: 'online', since: here.lease.since }
    }
  }

  /**
   * Begins the drain: the node is not ready from now on, and sends no new claim to the registry. Claims that wait for
   * their turn get `draining`. A claim that the registry is already judging gets its answer, and its peer is told to
   * move like all others. Gateways take no new connections from now on, and then tell every connection to move.
   */
  beginDrain(): void {
    this.#draining = true
  }

  /**
   * Ends the node: suspends every name that is still here, so that it waits for its holder, or frees it if its holder cannot
   * come back, and leaves the set of nodes.
   */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#draining = true
    const { backend, onError } = this.#options
    const failed = (error: unknown): void => onError(error, { stage: 'stop' })
    await inTurn(
      [
        () => this.#heartbeat.stop(),
        () => this.#settling.stop(),
        () => this.mail.stop(),
        () => this.watchers.stop(),
        () => this.rooms.stop(),
        () => this.anonymousRooms.stop(),
        () => this.#endAll(failed),
        // Sockets may have ended a moment ago. A name that was not suspended would count as free when the node
        // leaves, and the other members of a room would not hear that one has left.
        () => this.leases.settled(),
        () => this.rooms.settled(),
        () => this.pools.settled(),
        () => this.indexing.stop(),
        () => (this.#storeStarted ? backend.nodes.leave() : undefined),
        () => backend.stop(),
      ],
      failed,
    )
  }

  async #endAll(failed: (error: unknown) => void): Promise<void> {
    const admitted = [...this.sessions.allAdmitted()]
    await inTurn(
      admitted.map((session) => () => this.sessions.close(session, 'drain')),
      failed,
    )
    const leases: Lease[] = []
    const leaving: Promise<void>[] = []
    for (const session of admitted)
      if (session.connection.leavesAtEnd === true)
        leaving.push(this.#endName(session, session.connection.id, 'left'))
      else if (session.state === 'online') leases.push(session.lease)
    await suspendAll(this.leases, leases)
    await Promise.all(leaving)
  }

  #onBackend(event: BackendEvent): void {
    if (event.type === 'health') {
      const { healthy, why } = event
      if (healthy !== this.#store.healthy || why !== this.#store.why)
        this.#options.onEvent('health', { healthy, why })
      this.#store = { healthy, reason: 'store', why }
      return
    }
    this.#options.onEvent('doubt', { why: event.why })
    this.router.forgetRoutes()
    this.anonymousRooms.doubt()
    if (event.names) this.#settling.unsettle()
    this.#heartbeat.restoreSoon()
  }

  async #restore(): Promise<void> {
    await this.leases.reassertAll()
    this.#settling.restored()
    await this.rooms.keepAll()
    await this.pools.keepAll()
    this.watchers.refreshAll()
  }

  async #onBeat(): Promise<void> {
    this.indexing.retryTurn()
    await this.leases.renewTurn()
    await this.#claims.withdrawTurn()
    await this.rooms.renewTurn()
    this.anonymousRooms.turn()
    await this.pools.turn()
    this.watchers.refreshTurn()
  }
}
