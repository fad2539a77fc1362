import type { ConnectionId, RoomId } from '@peerage/protocol'
import type { AnonymousSession } from '../sessions/sessions.js'
import type { PoolMember, PoolSize } from './registry.js'

export interface EnterOptions {
  marked: boolean
  /** How many other members to draw. */
  draw: number
  /** When the membership ends if the member does not enter again. */
  ttlMs: number
}

/** `too-many`: the connection is in too many pools, or the pool is full. `parted`: the connection has ended. */
export type Entered = { drawn: PoolMember[]; size: PoolSize } | 'too-many' | 'parted'

/** The memberships of this node's connections in pools, and the frames between members. */
export class Pools {
  /** Enters, or enters again. Rejects with RegistryUnavailable. */
  enter(
    _session: AnonymousSession,
    _pool: RoomId,
    _member: string,
    _options: EnterOptions,
  ): Promise<Entered> {
    throw new Error('not built yet')
  }

  /** Rejects with RegistryUnavailable; then the membership ends later. */
  leave(_session: AnonymousSession, _pool: RoomId, _member: string): Promise<PoolSize> {
    throw new Error('not built yet')
  }

  /** Whether this connection is in the pool under this id. */
  has(_connection: ConnectionId, _pool: RoomId, _member: string): boolean {
    throw new Error('not built yet')
  }

  /** Hands a frame to a member that was drawn, wherever it is. It arrives at most once; nobody is told if it does not. */
  hand(_pool: RoomId, _to: PoolMember, _frame: string): void {
    throw new Error('not built yet')
  }

  /** Hands a frame to the member with this id. Resolves with false if there is none. Rejects with RegistryUnavailable. */
  handTo(_pool: RoomId, _id: string, _frame: string): Promise<boolean> {
    throw new Error('not built yet')
  }

  sizes(_pools: readonly RoomId[]): Promise<PoolSize[]> {
    throw new Error('not built yet')
  }
}
