import type { Peer } from '@peerage/protocol'
import type { Lease } from '../names/registry.js'

/** Where peers of other nodes were found last: dropped on the first doubt, and bounded. */
export class Routes {
  readonly #most: number
  readonly #leases = new Map<Peer, Lease>()

  constructor(most: number) {
    this.#most = most
  }

  get(peer: Peer): Lease | undefined {
    return this.#leases.get(peer)
  }

  keep(lease: Lease): void {
    this.#leases.delete(lease.peer)
    this.#leases.set(lease.peer, lease)
    if (this.#leases.size <= this.#most) return
    const oldest = this.#leases.keys().next()
    if (!oldest.done) this.#leases.delete(oldest.value)
  }

  drop(peer: Peer): void {
    this.#leases.delete(peer)
  }

  clear(): void {
    this.#leases.clear()
  }
}
