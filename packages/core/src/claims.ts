import type { ConnectionId, ErrorCode, NodeId, Peer } from '@peerage/protocol'
import type { OnError } from './backend.js'
import type { Bus } from './bus.js'
import type { Connection } from './connection.js'
import type { Envelope } from './envelope.js'
import { Gate } from './gate.js'
import type { Leases } from './leases.js'
import type { Lease, Lost, Registry } from './registry.js'
import { RegistryUnavailable } from './registry.js'
import type { Routes } from './routes.js'
import { hashSecret } from './secret.js'
import type { OnlineSession } from './session.js'
import type { Sessions } from './sessions.js'

export interface ClaimRequest {
  peer: Peer
  secret: string
  /** `replace` only for an identity that the access rules have authenticated [I9]. */
  policy: 'refuse' | 'replace'
}

export type ClaimOutcome =
  | { ok: true; session: OnlineSession; reclaimed: boolean }
  | { ok: false; code: ErrorCode }

export interface ClaimsParts {
  self: () => NodeId
  registry: Registry
  bus: Bus
  sessions: Sessions
  leases: Leases
  routes: Routes
  onEvent: (event: string, details: Record<string, unknown>) => void
  onError: OnError
}

/** Claims on their way to the registry: enough to keep it busy, and each answered well within its deadline. */
const CLAIMS_AT_ONCE = 128

/** How a connection comes by its name, and how it loses it to another one. */
export class Claims {
  readonly #parts: ClaimsParts
  readonly #gate = new Gate(CLAIMS_AT_ONCE)
  /** Claims on their way, and whether their peers are still there or have said that they leave. */
  readonly #waiting = new Map<ConnectionId, 'here' | 'left'>()

  constructor(parts: ClaimsParts) {
    this.#parts = parts
  }

  async claim(connection: Connection, request: ClaimRequest): Promise<ClaimOutcome> {
    this.#waiting.set(connection.id, 'here')
    try {
      // Ten thousand peers that come back at once would run past the registry's deadline together, and again.
      return await this.#gate.run(() => this.#claim(connection, request))
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) throw error
      this.#parts.onError(error, { stage: 'claim' })
      return { ok: false, code: 'registry-unavailable' }
    } finally {
      this.#waiting.delete(connection.id)
    }
  }

  /** A peer says that it leaves: the claim of it that is on its way, if there is one, shall not keep the name. */
  left(connection: ConnectionId): void {
    if (this.#waiting.has(connection)) this.#waiting.set(connection, 'left')
  }

  /** Another node has given the name of a peer here to another connection. */
  supersede({ type, peer, connection, epoch }: Extract<Envelope, { type: 'superseded' | 'evicted' }>): void {
    const { sessions, leases } = this.#parts
    const session = sessions.online(peer)
    if (session?.connection.id !== connection || session.lease.epoch > epoch) return
    leases.forget(session.lease)
    sessions.close(session, type === 'evicted' ? 'lease-lost' : 'superseded')
  }

  /** The registry says that a lease of this node is no longer its own. */
  lose(lost: Lost): void {
    const { sessions, onEvent } = this.#parts
    const session = sessions.online(lost.lease.peer)
    if (session?.lease.epoch !== lost.lease.epoch) return
    const samePeer = lost.reason === 'another' && lost.holder.since === lost.lease.since
    onEvent('lease lost', { reason: lost.reason, samePeer })
    // The same peer elsewhere is final; for anyone else a new claim decides.
    sessions.close(session, samePeer ? 'superseded' : 'lease-lost')
  }

  /** Tells the node that held a lease until now. */
  tellEnd(type: 'superseded' | 'evicted', lease: Lease): void {
    const { bus, onEvent, onError } = this.#parts
    const { peer, connection, epoch } = lease
    bus.publish(lease.node, { type, peer, connection, epoch }).then(
      (result) => {
        // Its node finds out at its next renewal.
        if (result === 'unavailable') onEvent(`${type} not told`, { node: lease.node })
      },
      (error: unknown) => onError(error, { stage: type }),
    )
  }

  async #claim(connection: Connection, { peer, secret, policy }: ClaimRequest): Promise<ClaimOutcome> {
    const { self, sessions, registry } = this.#parts
    // It may have gone while it waited for its turn.
    if (sessions.get(connection.id)?.state !== 'opening') return { ok: false, code: 'not-claimed' }
    const owner = { node: self(), connection: connection.id }
    const claimed = await registry.claim(peer, owner, { secretHash: hashSecret(peer, secret), policy })
    if (!claimed.ok) return { ok: false, code: 'name-taken' }
    return this.#admit(connection, claimed.lease, claimed.replaced)
  }

  async #admit(connection: Connection, lease: Lease, replaced: Lease | undefined): Promise<ClaimOutcome> {
    const { self, sessions, leases, routes, onError } = this.#parts
    if (lease.node !== self() || sessions.get(connection.id)?.state !== 'opening') {
      // The socket went, or the node lapsed, while the claim was on its way: the name waits for its holder, unless
      // that one said that it leaves.
      await leases.part(lease, this.#waiting.get(connection.id) === 'left' ? 'release' : 'suspend')
      return { ok: false, code: 'registry-unavailable' }
    }
    const here = sessions.online(lease.peer)
    if (here && here.lease.epoch > lease.epoch) {
      // A later claim of the same peer was answered first.
      connection.close('superseded')
      return { ok: false, code: 'name-taken' }
    }
    if (here) sessions.close(here, 'superseded')
    if (replaced && replaced.node !== self()) this.tellEnd('superseded', replaced)
    routes.drop(lease.peer)
    leases.hold(lease)
    const session = sessions.apply(connection.id, { type: 'claimed', lease })
    if (session?.state !== 'online') {
      onError(new Error(`a claimed session is ${session?.state ?? 'gone'}`), { stage: 'claim' })
      return { ok: false, code: 'not-claimed' }
    }
    return { ok: true, session, reclaimed: lease.since !== lease.epoch }
  }
}
