import type { App, ConnectionId, Name, NodeId, Peer } from '@peerage/protocol'
import { nameOf } from '@peerage/protocol'
import type { Backend, BackendEvent, OnError } from './backend.js'
import type { ClaimOutcome, ClaimRequest } from './names/claims.js'
import { Claims } from './names/claims.js'
import type { Clock } from './lib/clock.js'
import type { Connection } from './sessions/connection.js'
import { Fence } from './names/fence.js'
import { inTurn } from './lib/in-turn.js'
import { Leases } from './names/leases.js'
import { Mail } from './routing/mail.js'
import type { Message } from './routing/message.js'
import { presenceOf } from './presence/presence.js'
import { Pulse } from './names/pulse.js'
import type { Lease } from './names/registry.js'
import { RegistryUnavailable, isNew } from './names/registry.js'
import { Rooms } from './rooms/rooms.js'
import { Router } from './routing/router.js'
import { Routes } from './routing/routes.js'
import type { Session } from './sessions/session.js'
import { Sessions } from './sessions/sessions.js'
import { Settling } from './names/settling.js'
import type { Times } from './times.js'
import type { Seen } from './presence/watchers.js'
import { Watchers } from './presence/watchers.js'

export interface NodeOptions {
  backend: Backend
  times: Times
  clock: Clock
  /** How long a connection may stay without a name. */
  claimMs: number
  /** How long a mailbox waits for its peer. */
  mailboxMs: number
  onError: OnError
  /** For logs: what happened to this node, in a word and with its details. */
  onEvent: (event: string, details: Record<string, unknown>) => void
}

/**
 * How a connection ends. `left`: its peer said so, and the name is free. `dropped`: the name waits for the grace.
 * `gave-up`: the peer went before it knew that the name is its own. A name that it has newly claimed is free, for nobody
 * else has its secret; one that it held before waits for it, as after a drop.
 */
export type Ending = 'left' | 'gave-up' | 'dropped'

/** Why a node takes no new peers, as anybody may know it. */
export type Unready = 'starting' | 'draining' | 'store' | 'fenced' | 'listening' | 'settling' | 'port'

/** `why` is for the operator alone: it may hold addresses, and the store's own words. */
export type Readiness = { ready: true } | { ready: false; reason: Unready; why: string }

/** Routes to peers of other nodes that are remembered: about 300 bytes each. */
const ROUTES_MOST = 20_000

/** One process of the cluster: its identity, its sessions, its leases. Start, drain, stop. */
export class Node {
  readonly sessions = new Sessions()
  readonly router: Router
  readonly mail: Mail
  readonly leases: Leases
  readonly watchers: Watchers
  readonly rooms: Rooms
  readonly fence: Fence
  readonly #options: NodeOptions
  readonly #routes = new Routes(ROUTES_MOST)
  readonly #claims: Claims
  readonly #pulse: Pulse
  readonly #settling: Settling
  #health: { healthy: boolean; reason: Unready; why: string } = {
    healthy: false,
    reason: 'starting',
    why: 'starting',
  }
  #draining = false
  #stopped = false

  constructor(options: NodeOptions) {
    this.#options = options
    const { backend, times, clock, onError } = options
    const { registry, nodes, bus, mailbox, presence } = backend
    const { graceMs, nameTtlMs } = times
    const sessions = this.sessions
    this.fence = new Fence(clock)
    this.mail = new Mail({
      mailbox,
      clock,
      expireMs: options.mailboxMs,
      // Not by the router's look-up: it may join one that began before the message was put.
      isBack: async (peer, gone) => {
        const lease = await registry.lookup(peer)
        return lease?.epoch !== gone && presenceOf(lease, nodes, graceMs) === 'online'
      },
      arrived: (message) => this.#reroute(message),
      expired: (message) => this.router.refuse(message, 'unavailable'),
      onError,
    })
    this.leases = new Leases({
      registry,
      clock,
      graceMs,
      nameTtlMs,
      lost: (lost) => this.#claims.lose(lost),
      renamed: (lease) => this.#rename(lease),
      evicted: (lease) => this.#claims.tellEnd('evicted', lease),
      onError,
    })
    this.#settling = new Settling({ self: () => this.id, nodes, clock, times, onError })
    this.#claims = new Claims({
      self: () => this.id,
      registry,
      clock,
      commandMs: times.commandMs,
      nameTtlMs,
      settling: this.#settling,
      draining: () => this.#draining,
      presented: () => nodes.presented(),
      bus,
      sessions,
      leases: this.leases,
      routes: this.#routes,
      onEvent: options.onEvent,
      onError,
    })
    this.watchers = new Watchers({
      presence,
      nodes,
      sessions,
      clock,
      graceMs,
      lookup: (peer) => registry.lookup(peer),
      onError,
    })
    this.#pulse = new Pulse({
      backend,
      times,
      clock,
      fence: this.fence,
      listen: (node) => bus.subscribe(node, (envelope) => this.router.receive(envelope)),
      move: (to, from) => this.#move(to, from),
      restore: () => this.#restore(),
      seen: () => this.#settling.look(),
      turn: () => this.#turn(),
      always: () => this.#closeOverdue(),
      onLapse: (former, node) => {
        this.#routes.clear()
        options.onEvent('lapsed', { former, node })
      },
      onError,
    })
    this.rooms = new Rooms({
      self: () => this.id,
      registry: backend.rooms,
      sessions,
      clock,
      nameTtlMs,
      graceMs,
      isDead: (node) => nodes.status(node).state === 'dead',
      recovering: () => this.recovering,
      onError,
    })
    this.router = new Router({
      self: () => this.id,
      sessions,
      registry,
      nodes,
      bus,
      routes: this.#routes,
      mail: this.mail,
      fence: this.fence,
      graceMs,
      recovering: () => this.recovering,
      supersede: (end) => this.#claims.supersede(end),
      trace: (handshake, step) => options.onEvent('signal', { handshake, step }),
      onError,
    })
  }

  get id(): NodeId {
    return this.#pulse.id
  }

  get draining(): boolean {
    return this.#draining
  }

  /** Connects and begins to beat. Rejects only for what no retry can mend; an absent store is retried. */
  async start(): Promise<void> {
    this.#options.backend.identify(this.id)
    await this.#options.backend.start((event) => this.#onBackend(event))
    await this.#pulse.beat()
  }

  readiness(): Readiness {
    const not = (reason: Unready, why: string): Readiness => ({ ready: false, reason, why })
    if (this.#draining) return not('draining', 'draining')
    if (!this.#health.healthy) return not(this.#health.reason, this.#health.why)
    const { failure, listening } = this.#pulse
    const because = failure === undefined ? '' : `: ${failure}`
    if (!this.fence.began) return not('starting', `starting: the node has no lease yet${because}`)
    if (this.fence.fenced)
      return not('fenced', `fenced: the node lease could not be renewed in time${because}`)
    if (!listening) return not('listening', `not listening to the other nodes yet${because}`)
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
    if (this.fence.fenced || !this.#pulse.listening) return { ok: false, code: 'registry-unavailable' }
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
      const lease = await this.router.lookup(peer)
      const state = presenceOf(lease, backend.nodes, times.graceMs)
      if (lease === undefined || state === 'offline') return { state: 'offline' }
      return { state, since: lease.since }
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

  /** What the registry says is absent may be a name that its node has yet to write back. */
  get recovering(): boolean {
    return this.#pulse.recovering
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
        () => backend.nodes.leave(),
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

  #reroute(message: Message): void {
    const outcome = this.router.route(message)
    if (outcome instanceof Promise)
      outcome.catch((error: unknown) => this.#options.onError(error, { stage: 'route from the mailbox' }))
  }

  #onBackend(event: BackendEvent): void {
    if (event.type === 'health') {
      if (event.healthy !== this.#health.healthy || event.why !== this.#health.why)
        this.#options.onEvent('health', { healthy: event.healthy, why: event.why })
      this.#health = { healthy: event.healthy, reason: 'store', why: event.why }
      return
    }
    this.#options.onEvent('doubt', { why: event.why })
    this.#routes.clear()
    if (event.names) this.#settling.doubt()
    this.#pulse.doubt()
  }

  // The lease of this process had lapsed: it goes on as another node, with the names that are still its own.
  async #move(to: NodeId, from: NodeId): Promise<void> {
    for (const lease of await this.leases.move(to, from)) {
      const session = this.sessions.online(lease.peer)
      if (session) this.sessions.apply(session.connection.id, { type: 'moved', lease })
    }
  }

  // The registry knows the peer by an earlier claim than the peer itself does. It hears the older `since` when it
  // comes back.
  #rename(lease: Lease): void {
    const session = this.sessions.online(lease.peer)
    if (session?.lease.epoch !== lease.epoch) return
    this.sessions.close(session, 'lease-lost')
    this.leases
      .part(lease, 'suspend')
      .catch((error: unknown) => this.#options.onError(error, { stage: 'suspend' }))
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

  #closeOverdue(): void {
    const now = this.#options.clock.monotonic()
    for (const session of this.sessions.all())
      if (session.state === 'opening' && session.deadline <= now)
        this.sessions.close(session, 'claim-timeout')
  }
}
