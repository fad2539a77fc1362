import type { RoomId } from '@peerage/protocol'
import type { ConnectionId, NodeId } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { NodeHeartbeat } from '../names/node-heartbeat.js'
import { RegistryUnavailable } from '../names/registry.js'
import type { PoolRegistry } from './registry.js'

export interface FarewellsOptions {
  heartbeat: Pick<NodeHeartbeat, 'id'>
  registry: PoolRegistry
  onError: OnError
}

/** A membership that has ended. Its node is this one, if it says no other. */
interface Former {
  pool: RoomId
  id: string
  connection: ConnectionId
  node?: NodeId
}

/** Commands without an answer. A connection may have had a thousand memberships, and many connections may end at once. */
const UNANSWERED_MOST = 64
/** Memberships that wait to be removed. Beyond this number they end by their TTL. */
const WAITING_MOST = 200_000

/** Removes memberships from the registry in the background. If that fails, a membership ends by its TTL. */
export class Farewells {
  readonly #options: FarewellsOptions
  #waiting: Former[] = []
  #first = 0
  #unanswered = 0
  #idle: (() => void)[] = []

  constructor(options: FarewellsOptions) {
    this.#options = options
  }

  leave(former: readonly Former[]): void {
    for (const one of former) if (this.#waiting.length - this.#first < WAITING_MOST) this.#waiting.push(one)
    this.#next()
  }

  /** Resolves when nothing waits any more. */
  settled(): Promise<void> {
    if (this.#unanswered === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  #next(): void {
    while (this.#unanswered < UNANSWERED_MOST) {
      const former = this.#waiting[this.#first]
      if (former === undefined) break
      this.#first++
      this.#unanswered++
      void this.#leave(former)
    }
    if (this.#first * 2 < this.#waiting.length) return
    this.#waiting = this.#waiting.slice(this.#first)
    this.#first = 0
    if (this.#unanswered > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  async #leave({ pool, id, connection, node = this.#options.heartbeat.id }: Former): Promise<void> {
    try {
      await this.#options.registry.leave(pool, { id, node, connection })
    } catch (error) {
      this.#options.onError(error, { stage: 'leave a pool' })
      // The others would fail, too, and each would wait for its deadline.
      if (error instanceof RegistryUnavailable) this.#waiting.length = this.#first
    } finally {
      this.#unanswered--
      this.#next()
    }
  }
}
