import type { ConnectionId, ErrorCode, Peer } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Bus } from '../routing/bus.js'
import type { Clock } from '../lib/clock.js'
import type { Connection, Holder, OnlineSession, Sessions } from '../sessions/sessions.js'
import type { Envelope } from '../routing/message.js'
import { Semaphore } from '../lib/semaphore.js'
import type { Leases } from './leases.js'
import type { Nodes } from './nodes.js'
import type { NodeHeartbeat } from './node-heartbeat.js'
import type { Lease, Lost, Owner, Registry } from './registry.js'
import { RegistryUnavailable, hashSecret, isNew } from './registry.js'
import type { Settling } from './settling.js'

export interface ClaimRequest {
  peer: Peer
  secret: string
  /** `replace` is only for an identity that the access rules have authenticated [I9]. */
  policy: 'refuse' | 'replace'
  /** Whether the name appears in lists and counts of its app. Default: true. */
  isListed?: boolean
  /** What the access rules know of the peer. */
  holder?: Holder
}

export type ClaimOutcome =
  | { ok: true; session: OnlineSession; reclaimed: boolean }
  | { ok: false; code: ErrorCode }

export interface ClaimsOptions {
  heartbeat: NodeHeartbeat
  registry: Registry
  nodes: Nodes
  clock: Clock
  /** How long a claim waits for the other nodes to settle (see `Settling`). */
  commandMs: number
  nameTtlMs: number
  settling: Settling
  /** If true, no claim succeeds any more, not even one that already waits. */
  draining: () => boolean
  bus: Bus
  sessions: Sessions
  leases: Leases
  /** `Router.forgetRoute`. */
  forgetRoute: (peer: Peer) => void
  onEvent: (event: string, details: Record<string, unknown>) => void
  onError: OnError
}

/**
 * How a connection ends.
 * - `left`: the peer said that it leaves. The name is free.
 * - `dropped`: the socket ended without a close or a `leave`. The name stays reserved for its holder during the grace.
 * - `gave-up`: the connection ended before the peer knew that it had the name. A newly claimed name is free, because no
 *   other peer has its secret. A name that the peer held before stays reserved for it, as after `dropped`.
 */
export type Ending = 'left' | 'gave-up' | 'dropped'

/**
 * How many claims this node sends to the registry at once: enough to keep the registry busy, and few enough that it
 * answers each well within its deadline.
 */
const CLAIMS_AT_ONCE = 128
/** Claims that may wait for their turn: all peers of a dead node, with a margin. A later claim gets `overloaded`. */
const CLAIMS_WAITING = 20_000

/** A claim without an answer yet. */
interface Waiting {
  /** The peer has said that it leaves. */
  hasLeft: boolean
  /** Callbacks that wait for the answer. */
  answered: (() => void)[]
}

/** A claim that the registry did not answer, and that may have won. It is checked between two monotonic times. */
interface Unanswered {
  peer: Peer
  owner: Owner
  from: number
  until: number
}

/** If more than these wait to be checked, the oldest are not checked: their leases end by their TTL. */
const UNANSWERED_MOST = 1_000

/** How a connection gets its name, and how it loses the name to another connection. */
export class Claims {
  readonly #options: ClaimsOptions
  readonly #semaphore = new Semaphore(CLAIMS_AT_ONCE, CLAIMS_WAITING)
  readonly #waiting = new Map<ConnectionId, Waiting>()
  #unanswered: Unanswered[] = []

  constructor(options: ClaimsOptions) {
    this.#options = options
  }

  async claim(connection: Connection, request: ClaimRequest): Promise<ClaimOutcome> {
    // A second claim could win a second name, and the connection can hold only one.
    if (this.#waiting.has(connection.id)) return { ok: false, code: 'already-claimed' }
    const waiting: Waiting = { hasLeft: false, answered: [] }
    this.#waiting.set(connection.id, waiting)
    try {
      return await this.#claimSettled(connection, request)
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) throw error
      this.#options.onError(error, { stage: 'claim' })
      return { ok: false, code: 'registry-unavailable' }
    } finally {
      this.#waiting.delete(connection.id)
      for (const tell of waiting.answered) tell()
    }
  }

  /** The peer says that it leaves: if its claim has no answer yet, that claim must not keep the name. */
  left(connection: ConnectionId): void {
    const waiting = this.#waiting.get(connection)
    if (waiting) waiting.hasLeft = true
  }

  /**
   * Resolves when this connection's claim, if there is one, has its answer, and a name that it may not keep is free
   * again.
   */
  answered(connection: ConnectionId): Promise<void> {
    const waiting = this.#waiting.get(connection)
    if (waiting === undefined) return Promise.resolve()
    return new Promise((resolve) => waiting.answered.push(resolve))
  }

  // The registry may have carried out a claim that it did not answer.
  #rememberUnanswered(peer: Peer, owner: Owner): void {
    const { clock, commandMs, nameTtlMs } = this.#options
    const now = clock.monotonic()
    if (this.#unanswered.length >= UNANSWERED_MOST) this.#unanswered.shift()
    this.#unanswered.push({ peer, owner, from: now + commandMs, until: now + nameTtlMs })
  }

  /** Once a beat: gives back names that unanswered claims have won, because no peer was told that it holds them. */
  async withdrawTurn(): Promise<void> {
    const now = this.#options.clock.monotonic()
    const waiting = this.#unanswered
    const due = waiting.filter(({ from }) => from <= now)
    this.#unanswered = waiting.filter(({ from }) => from > now)
    await Promise.all(due.map((one) => this.#withdraw(one)))
  }

  async #withdraw(unanswered: Unanswered): Promise<void> {
    const { registry, leases, clock } = this.#options
    const { peer, owner, until } = unanswered
    try {
      const lease = await registry.lookup(peer)
      // The peer may have claimed again.
      if (lease?.node !== owner.node || lease.connection !== owner.connection) return
      if (this.#waiting.has(owner.connection) || leases.of(peer)?.epoch === lease.epoch) return
      await leases.releaseOrSuspend(lease, isNew(lease) ? 'release' : 'suspend')
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) throw error
      if (clock.monotonic() < until) this.#unanswered.push(unanswered)
    }
  }

  /** Another node tells that the name of a peer here belongs to another connection now. */
  supersede({ type, peer, connection, epoch }: Extract<Envelope, { type: 'superseded' | 'evicted' }>): void {
    const { sessions, leases } = this.#options
    const lease = leases.of(peer)
    if (lease?.connection !== connection || lease.epoch > epoch) return
    leases.forget(lease)
    const session = sessions.online(peer)
    if (session?.connection.id !== connection) return
    sessions.close(session, type === 'evicted' ? 'lease-lost' : 'superseded')
  }

  /** The registry says that a lease of this node is no longer its own. */
  leaseLost(lost: Lost): void {
    const { sessions, onEvent } = this.#options
    const session = sessions.online(lost.lease.peer)
    if (session?.lease.epoch !== lost.lease.epoch) return
    const samePeer = lost.reason === 'another' && lost.holder.since === lost.lease.since
    onEvent('lease lost', { reason: lost.reason, samePeer })
    // If the same peer is connected elsewhere, that is final. For any other holder, a new claim decides.
    sessions.close(session, samePeer ? 'superseded' : 'lease-lost')
  }

  /**
   * The registry knows the peer by an earlier claim than the peer itself does. The peer learns the older `since` when
   * it claims again.
   */
  sinceChanged(lease: Lease): void {
    const { sessions, leases, onError } = this.#options
    const session = sessions.online(lease.peer)
    if (session?.lease.epoch !== lease.epoch) return
    sessions.close(session, 'lease-lost')
    leases.releaseOrSuspend(lease, 'suspend').catch((error: unknown) => onError(error, { stage: 'suspend' }))
  }

  /** Tells the node that held this lease until now that it has lost the lease. */
  tellEnd(type: 'superseded' | 'evicted', lease: Lease): void {
    const { bus, onEvent, onError } = this.#options
    const { peer, connection, epoch } = lease
    bus.publish(lease.node, { type, peer, connection, epoch }).then(
      (result) => {
        // That node finds out at its next renewal.
        if (result === 'unavailable') onEvent(`${type} not told`, { node: lease.node })
      },
      (error: unknown) => onError(error, { stage: type }),
    )
  }

  // The registry may not know a name because the name's node has not written it back yet. A claim for it waits
  // outside of the semaphore, so that claims of known names do not wait behind it.
  async #claimSettled(connection: Connection, request: ClaimRequest): Promise<ClaimOutcome> {
    const { clock, commandMs, settling } = this.#options
    const until = clock.monotonic() + commandMs
    for (;;) {
      // Without the semaphore, ten thousand peers that come back at once would all miss the registry's deadline,
      // again and again.
      const outcome = await this.#semaphore.run(() => this.#claim(connection, request))
      if (outcome === undefined) return { ok: false, code: 'overloaded' }
      if (outcome !== 'unsettled') return outcome
      const leftMs = until - clock.monotonic()
      if (leftMs <= 0 || !(await settling.wait(leftMs))) return { ok: false, code: 'registry-unavailable' }
    }
  }

  async #claim(connection: Connection, request: ClaimRequest): Promise<ClaimOutcome | 'unsettled'> {
    const { heartbeat, draining, sessions, leases, registry, nodes, settling } = this.#options
    const { peer, policy } = request
    // While the claim waited for its turn, the node may have begun to drain, and the peer may have gone.
    if (draining()) return { ok: false, code: 'draining' }
    if (sessions.get(connection.id)?.state !== 'opening') return { ok: false, code: 'not-claimed' }
    const secretHash = hashSecret(peer, request.secret)
    // This node knows the holder of this name, even if the registry has forgotten it.
    const here = leases.of(peer)
    if (here !== undefined && here.secretHash !== secretHash && policy === 'refuse') {
      if (await leases.keeps(here)) return { ok: false, code: 'name-taken' }
    }
    const owner = { node: heartbeat.id, connection: connection.id }
    const claimed = await registry
      .claim(peer, owner, {
        secretHash,
        policy,
        presented: nodes.presented(),
        absent: settling.settled ? 'take' : 'leave',
      })
      .catch((error: unknown) => {
        this.#rememberUnanswered(peer, owner)
        throw error
      })
    if (claimed.ok) return this.#take(connection, request, claimed.lease, claimed.replaced)
    return claimed.holder === undefined ? 'unsettled' : { ok: false, code: 'name-taken' }
  }

  /** Whether a lease of this node wins against a claim that has just taken its name. */
  async #takesBack(former: Lease, taken: Lease): Promise<boolean> {
    const { leases } = this.#options
    try {
      return await leases.takesBack(former)
    } catch (error) {
      // No peer was told that it holds the name, so the name must not wait for a holder.
      await leases.releaseOrSuspend(taken, 'release')
      throw error
    }
  }

  async #take(
    connection: Connection,
    { policy, isListed, holder }: ClaimRequest,
    lease: Lease,
    replaced: Lease | undefined,
  ): Promise<ClaimOutcome> {
    const { heartbeat, sessions, leases, forgetRoute, onError } = this.#options
    // The registry had forgotten the holder when it judged this claim.
    const former = leases.of(lease.peer)
    if (former !== undefined && former.secretHash !== lease.secretHash && policy === 'refuse') {
      if (await this.#takesBack(former, lease)) return { ok: false, code: 'name-taken' }
    }
    const hasEnded = sessions.get(connection.id)?.state !== 'opening'
    if (hasEnded || lease.node !== heartbeat.id) {
      // The socket ended, or the node lapsed, before the claim was answered. The name waits for its holder, unless
      // the peer said that it leaves, or this was its first claim and it was never told that it has the name.
      const wasNeverTold = hasEnded && isNew(lease)
      const hasLeft = this.#waiting.get(connection.id)?.hasLeft
      await leases.releaseOrSuspend(lease, hasLeft || wasNeverTold ? 'release' : 'suspend')
      return { ok: false, code: 'registry-unavailable' }
    }
    const here = sessions.online(lease.peer)
    if (here && here.lease.epoch > lease.epoch) {
      // The answer to a later claim of the same peer came first.
      connection.close('superseded')
      return { ok: false, code: 'name-taken' }
    }
    if (here) sessions.close(here, 'superseded')
    if (replaced && replaced.node !== heartbeat.id) this.tellEnd('superseded', replaced)
    forgetRoute(lease.peer)
    leases.hold(lease, isListed)
    const session = sessions.apply(connection.id, {
      type: 'claimed',
      lease,
      ...(holder === undefined ? {} : { holder }),
    })
    if (session?.state !== 'online') {
      onError(new Error(`a session that has just claimed a name is ${session?.state ?? 'gone'}`), {
        stage: 'claim',
      })
      return { ok: false, code: 'not-claimed' }
    }
    return { ok: true, session, reclaimed: !isNew(lease) }
  }
}
