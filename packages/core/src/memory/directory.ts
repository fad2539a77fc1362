import type { App } from '@peerage/protocol'
import type { Directory } from '../names/directory.js'
import type { Lease } from '../names/registry.js'
import type { Store } from './store.js'

/** The directory of one process. */
export class MemoryDirectory implements Directory {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async list(app: App, most: number): Promise<{ leases: Lease[]; complete: boolean }> {
    this.#store.open()
    const prefix = `${app}/`
    const leases: Lease[] = []
    for (const peer of this.#store.names.keys()) {
      if (!peer.startsWith(prefix)) continue
      const lease = this.#store.lease(peer)
      if (lease === undefined) continue
      if (leases.length >= most) return { leases, complete: false }
      leases.push(lease)
    }
    return { leases, complete: true }
  }
}
