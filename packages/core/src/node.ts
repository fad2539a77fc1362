import type { App, ConnectionId, Name, NodeId, Peer } from '@peerage/protocol'
import { nameOf } from '@peerage/protocol'
import type { Backend, BackendEvent, OnError } from './backend.js'
import type { Clock } from './lib/clock.js'
import { inTurn } from './lib/in-turn.js'
import type { ClaimOutcome, ClaimRequest, Ending } from './names/claims.js'
import { Claims } from './names/claims.js'
import { Leases } from './names/leases.js'
import { Pulse } from './names/pulse.js'
import { RegistryUnavailable, isNew } from './names/registry.js'
import { Settling } from './names/settling.js'
import type { Seen } from './presence/presence.js'
import { presenceOf, seenOf } from './presence/presence.js'
import { Watchers } from './presence/watchers.js'
import { Rooms } from './rooms/rooms.js'
import { Mail } from './routing/mail.js'
import { Router } from './routing/router.js'
import type { Connection, Session } from './sessions/sessions.js'
import { Sessions } from './sessions/sessions.js'
import type { Times } from './times.js'

export interface NodeOptions {
  backend: Backend
  times: Times
  clock: Clock
  /** How long a connection may go without a name. */
  claimMs: number
  /** How long a mailbox waits for its peer. */
  mailboxMs: number
  onError: OnError
  /** For logs: what happened to this node, in a word and with its details. */
  onEvent: (event: string, details: Record<string, unknown>) => void
}

/** Why a node takes no new peers, as anybody may know it. */
export type Unready = 'starting' | 'draining' | 'store' | 'fenced' | 'listening' | 'settling' | 'port'

/** `why` is for the operator alone: it may hold addresses, and the store's own words. */
export type Readiness = { ready: true } | { ready: false; reason: Unready; why: string }

/**
 * One process of the cluster. It makes its parts, which are public: a gateway asks the part that does a thing (messages
 * the router, who has a name the sessions). The node itself does what takes several of them: its own life (start, drain,
 * stop), a connection's (open, claim, leave, end), and look-ups.
 */
export class Node {
  /** Which process of the cluster this is; another one after a lapse [I7]. A field, for each message asks. */
  id: NodeId
  readonly sessions = new Sessions()
  readonly leases: Leases
  readonly router: Router
  readonly mail: Mail
  readonly watchers: Watchers
  readonly rooms: Rooms
  readonly #options: NodeOptions
  readonly #pulse: Pulse
  readonly #settling: Settling
  readonly #claims: Claims
  #store = { healthy: false, reason: 'starting' as Unready, why: 'starting' }
  #draining = false
  /** Whether the store has been started: before, this node is in no set that it could leave. */
  #begun = false
  #stopped = false

  constructor(options: NodeOptions) {
    this.#options = options
    const { backend, times, clock, onEvent, onError } = options
    const { registry, nodes, bus, presence } = backend
    const { sessions } = this
    this.#pulse = new Pulse({
      backend,
      times,
      clock,
      listen: () => this.router.listen(),
      move: async (to, from) => {
        for (const lease of await this.leases.move(to, from)) sessions.move(lease)
      },
      restore: () => this.#restore(),
      seen: () => this.#settling.look(),
      turn: () => this.#turn(),
      always: () => sessions.closeOverdue(clock.monotonic()),
      onLapse: (former, node) => {
        this.id = node
        this.router.forgetRoutes()
        onEvent('lapsed', { former, node })
      },
      onError,
    })
    this.id = this.#pulse.id
    const pulse = this.#pulse
    const shared = { ...times, pulse, registry, nodes, bus, presence, sessions, clock, onEvent, onError }
    this.leases = new Leases({
      ...shared,
      lost: (lost) => this.#claims.lose(lost),
      renamed: (lease) => this.#claims.rename(lease),
      evicted: (lease) => this.#claims.tellEnd('evicted', lease),
    })
    this.#settling = new Settling({ ...shared, times })
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
      trace: (handshake, step) => onEvent('signal', { handshake, step }),
    })
    this.watchers = new Watchers(shared)
    this.rooms = new Rooms({ ...shared, registry: backend.rooms })
  }

  get draining(): boolean {
    return this.#draining
  }

  /** It may not act for the cluster: its lease could not be renewed in time [I12]. */
  get fenced(): boolean {
    return this.#pulse.fenced
  }

  /** What the registry says is absent may be a name that its node has yet to write back. */
  get recovering(): boolean {
    return this.#pulse.recovering
  }

  /** Connects and begins to beat. Rejects only for what no retry can mend; an absent store is retried. */
  async start(): Promise<void> {
    this.#options.backend.identify(this.id)
    await this.#options.backend.start((event) => this.#onBackend(event))
    this.#begun = true
    await this.#pulse.beat()
  }

  readiness(): Readiness {
    const not = (reason: Unready, why: string): Readiness => ({ ready: false, reason, why })
    if (this.#draining) return not('draining', 'draining')
    if (!this.#store.healthy) return not(this.#store.reason, this.#store.why)
    const { unready } = this.#pulse
    if (unready) return not(unready.reason, unready.why)
    if (!this.#settling.began)
      return not('settling', 'waiting until the other nodes have written their names back')
    return { ready: true }
  }

  /** A socket has opened. Its gateway calls `end` when it has ended. */
  open(connection: Connection): Session {
    return this.sessions.open(connection, this.#options.clock.monotonic() + this.#options.claimMs)
  }

  /** Claims a name for a connection that has none. An outcome never throws; a taken name looks the same whyever. */
  async claim(connection: Connection, request: ClaimRequest): Promise<ClaimOutcome> {
    if (this.sessions.get(connection.id)?.state !== 'opening') return { ok: false, code: 'already-claimed' }
    // Nor while other nodes could not reach the peer here.
    if (!this.#pulse.active) return { ok: false, code: 'registry-unavailable' }
    return this.#claims.claim(connection, request)
  }

  /** A socket has ended. */
  async end(connection: ConnectionId, how: Ending): Promise<void> {
    this.watchers.forget(connection)
    if (how === 'left') this.#claims.left(connection)
    await this.#part(this.sessions.remove(connection), connection, how)
  }

  /**
   * The peer gives its name back at once, or gives up the claim that is on its way. It is told by the close of its
   * socket, and not before anybody else can have the name, on any node.
   */
  async leave(session: Session, how: Exclude<Ending, 'dropped'> = 'left'): Promise<void> {
    const { id } = session.connection
    if (how === 'left') this.#claims.left(id)
    this.sessions.apply(id, { type: 'close', reason: 'left' })
    try {
      await this.#claims.answered(id)
      await this.#part(session, id, how)
    } finally {
      session.connection.close('left')
    }
  }

  async #part(session: Session | undefined, connection: ConnectionId, how: Ending): Promise<void> {
    const lease = session?.state === 'online' ? session.lease : undefined
    const isFree = how === 'left' || (how === 'gave-up' && lease !== undefined && isNew(lease))
    await Promise.all([
      lease && this.leases.part(lease, isFree ? 'release' : 'suspend'),
      this.rooms.forget(connection, isFree ? 'left' : 'dropped'),
    ])
  }

  /** How each of `peers` stands now. Rejects with RegistryUnavailable, unless all of them are here. */
  async lookup(peers: readonly Peer[]): Promise<Seen[]> {
    return Promise.all(peers.map((peer) => this.#lookup(peer)))
  }

  async #lookup(peer: Peer): Promise<Seen> {
    const { backend, times } = this.#options
    try {
      return seenOf(await this.router.lookup(peer), backend.nodes, times.graceMs)
    } catch (error) {
      // Peers of this node find each other while the registry is away [I12].
      const here = this.sessions.online(peer)
      if (!(error instanceof RegistryUnavailable) || here === undefined) throw error
      return { state: 'online', since: here.lease.since }
    }
  }

  /** Who is online in an app, on all nodes: a walk over the whole store. Rejects with RegistryUnavailable. */
  async directory(app: App, most: number): Promise<{ names: Name[]; complete: boolean }> {
    const { backend, times } = this.#options
    const { leases, complete } = await backend.directory.list(app, most)
    const online = leases.filter((lease) => presenceOf(lease, backend.nodes, times.graceMs) === 'online')
    return { names: online.map((lease) => nameOf(lease.peer)), complete }
  }

  /**
   * Not ready from now on. No claim reaches the registry any more: those that wait for their turn are `draining`, too;
   * those that it is judging already are answered, and their peers are told to move like all others. Gateways take no
   * new connections, and then tell every connection that they have to move.
   */
  beginDrain(): void {
    this.#draining = true
  }

  /** Ends: every name that is still here waits for its holder, and the node leaves the set. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#draining = true
    const { backend, onError } = this.#options
    const failed = (error: unknown): void => onError(error, { stage: 'stop' })
    await inTurn(
      [
        () => this.#pulse.stop(),
        () => this.#settling.stop(),
        () => this.mail.stop(),
        () => this.#partAll(failed),
        // Sockets that ended a moment ago: a name that nobody suspends would count as free.
        () => this.leases.settled(),
        () => (this.#begun ? backend.nodes.leave() : undefined),
        () => backend.stop(),
      ],
      failed,
    )
  }

  async #partAll(failed: (error: unknown) => void): Promise<void> {
    const online = [...this.sessions.allOnline()]
    await inTurn(
      online.map((session) => () => this.sessions.close(session, 'drain')),
      failed,
    )
    await Promise.all(online.map((session) => this.leases.part(session.lease, 'suspend')))
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
    if (event.names) this.#settling.doubt()
    this.#pulse.doubt()
  }

  async #restore(): Promise<void> {
    await this.leases.reassertAll()
    this.#settling.restored()
    await this.rooms.keepAll()
    this.watchers.lookAll()
  }

  async #turn(): Promise<void> {
    await this.leases.renewTurn()
    await this.#claims.withdrawTurn()
    await this.rooms.renewTurn()
    this.watchers.lookTurn()
  }
}
