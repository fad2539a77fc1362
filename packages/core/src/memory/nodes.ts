import type { NodeId } from '@peerage/protocol'
import type { NodeStatus, Nodes } from '../nodes.js'
import { deadRetentionMs } from '../nodes.js'
import { RegistryUnavailable } from '../registry.js'
import type { Store } from './store.js'

/** The nodes of one process. Its view is never old: there is nothing between it and the truth. */
export class MemoryNodes implements Nodes {
  readonly #store: Store
  #self: NodeId | undefined
  /** Until then, by its own count, this node may be written back after a flush. */
  #within = Number.POSITIVE_INFINITY

  constructor(store: Store) {
    this.#store = store
  }

  identify(node: NodeId): void {
    this.#self = node
    this.#within = Number.POSITIVE_INFINITY
  }

  async beat(): Promise<'alive' | 'lapsed'> {
    if (this.#self === undefined) throw new RegistryUnavailable('beat before identify')
    this.#store.open()
    const now = this.#store.now()
    this.#forget(now)
    this.#store.sweep()
    const end = this.#store.nodes.get(this.#self)
    const lapsed = end === undefined ? now >= this.#within : now >= end
    if (lapsed) return 'lapsed'
    this.#within = now + this.#store.times.nodeLeaseMs
    this.#store.nodes.set(this.#self, this.#within)
    return 'alive'
  }

  status(node: NodeId): NodeStatus {
    const end = this.#store.nodes.get(node)
    if (end === undefined) return { state: 'unknown' }
    const deadForMs = this.#store.now() - end
    return deadForMs < 0 ? { state: 'live' } : { state: 'dead', deadForMs }
  }

  list(): { node: NodeId; status: NodeStatus }[] {
    return [...this.#store.nodes.keys()].map((node) => ({ node, status: this.status(node) }))
  }

  async leave(): Promise<void> {
    this.#store.open()
    if (this.#self === undefined) return
    const left = this.#store.now() - this.#store.times.graceMs - 1
    this.#within = Number.NEGATIVE_INFINITY
    if (this.#store.nodes.has(this.#self)) this.#store.nodes.set(this.#self, left)
  }

  #forget(now: number): void {
    const retentionMs = deadRetentionMs(this.#store.times)
    for (const [node, end] of this.#store.nodes) if (now - end > retentionMs) this.#store.nodes.delete(node)
  }
}
