import type { ConnectionId, RoomId } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock } from '../lib/clock.js'
import type { NodeHeartbeat } from '../names/node-heartbeat.js'
import { RegistryUnavailable } from '../names/registry.js'
import type { MemberState } from './channel.js'
import type { Entry } from './local-room.js'
import type { Member, RoomRegistry } from './registry.js'

export interface DeparturesOptions {
  heartbeat: Pick<NodeHeartbeat, 'id'>
  registry: RoomRegistry
  clock: Clock
  nameTtlMs: number
  graceMs: number
  /** Tells the other members. */
  tell: (id: RoomId, connection: ConnectionId, state: MemberState, member: Member) => Promise<void>
  /** Whether the peer has joined again over another connection before this node learned that this connection had ended. */
  isBack: (id: RoomId, member: Member) => boolean
  onError: OnError
}

/**
 * A membership that has ended on this node and still has to be removed from the registry. We try until `until`
 * (monotonic ms).
 */
type UnfinishedPart = { id: RoomId; connection: ConnectionId; member: Member; until: number }

/** Ends memberships in the registry, and tells the other members. */
export class Departures {
  readonly #options: DeparturesOptions
  /** Memberships that ended during an outage of the registry. They are removed when it is back. */
  readonly #unfinished = new Map<string, UnfinishedPart>()

  constructor(options: DeparturesOptions) {
    this.#options = options
  }

  /** The member joins again, so its former membership must not be removed any more. */
  cancel(id: RoomId, member: Member): void {
    this.#unfinished.delete(partKey(id, member))
  }

  /** Ends a membership, or keeps it as away while the name is reserved. A membership that was never made just ends. */
  async end(id: RoomId, connection: ConnectionId, { member, joined, ended }: Entry): Promise<void> {
    const { registry, clock, graceMs, nameTtlMs, heartbeat, tell, isBack } = this.#options
    if (ended === 'left') {
      const until = clock.monotonic() + nameTtlMs
      this.#unfinished.set(partKey(id, member), { id, connection, member, until })
      await this.#inTheBackground('leave a room', () => this.#part(id, connection, member))
    } else if (joined && !isBack(id, member))
      await this.#inTheBackground('away from a room', async () => {
        const isAway = await registry.away(id, member, heartbeat.id, graceMs)
        if (isAway) await tell(id, connection, 'away', member)
      })
  }

  /** Tries again what failed. Rejects with RegistryUnavailable. */
  async retry(): Promise<void> {
    const now = this.#options.clock.monotonic()
    for (const [key, { id, connection, member, until }] of this.#unfinished)
      if (until <= now) this.#unfinished.delete(key)
      else await this.#part(id, connection, member)
  }

  async #part(id: RoomId, connection: ConnectionId, member: Member): Promise<void> {
    const was = await this.#options.registry.part(id, member)
    this.#unfinished.delete(partKey(id, member))
    if (was) await this.#options.tell(id, connection, 'left', member)
  }

  // If this fails, the membership ends by its TTL. No caller waits for an answer.
  async #inTheBackground(stage: string, act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) throw error
      this.#options.onError(error, { stage })
    }
  }
}

function partKey(id: RoomId, { name, since }: Member): string {
  return `${id} ${since} ${name}`
}
