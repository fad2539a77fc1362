import type { NodeId } from '@peerage/protocol'
import type { NodeStatus, Nodes, NodesView } from '../names/nodes.js'
import { checkAnnouncement, deadRetentionMs } from '../names/nodes.js'
import { RegistryUnavailable } from '../names/registry.js'
import type { Store } from './store.js'

/** The nodes of one process. Its view is always current. */
export class MemoryNodes implements Nodes {
  readonly #store: Store
  #self: NodeId | undefined
  /** Until this time (registry ms) a beat may write this node back after a flush. */
  #leaseEndsAt = Number.POSITIVE_INFINITY
  /** This identity's announcement. */
  #announcement: string | undefined

  constructor(store: Store) {
    this.#store = store
  }

  identify(node: NodeId): void {
    this.#self = node
    this.#leaseEndsAt = Number.POSITIVE_INFINITY
    this.#announcement = undefined
  }

  async beat(settled = true): Promise<'alive' | 'lapsed'> {
    if (this.#self === undefined) throw new RegistryUnavailable('beat() was called before identify()')
    this.#store.open()
    const now = this.#store.now()
    this.#forget(now)
    this.#store.sweep()
    const seen = this.#store.nodes.get(this.#self)
    const lapsed = seen === undefined ? now >= this.#leaseEndsAt : now >= seen.end
    if (lapsed) return 'lapsed'
    // A node that a flush has forgotten must write its names back first.
    const isForgotten = seen === undefined && this.#leaseEndsAt !== Number.POSITIVE_INFINITY
    const settledAt = settled && !isForgotten ? now : (seen?.settledAt ?? 0)
    this.#leaseEndsAt = now + this.#store.times.nodeLeaseMs
    this.#store.nodes.set(this.#self, { end: this.#leaseEndsAt, settledAt })
    if (this.#announcement !== undefined) this.#store.putAnnouncement(this.#self, this.#announcement)
    return 'alive'
  }

  async refresh(): Promise<void> {
    this.#store.open()
  }

  view(): NodesView {
    const { createdAt, nodes } = this.#store
    return { now: this.#store.now(), createdAt, nodes: new Map(nodes) }
  }

  /** 0, because the store's clock never steps back and so exceeds every epoch anyway. */
  presented(): number {
    return 0
  }

  status(node: NodeId): NodeStatus {
    const seen = this.#store.nodes.get(node)
    if (seen === undefined) return { state: 'unknown' }
    const deadForMs = this.#store.now() - seen.end
    return deadForMs < 0 ? { state: 'live' } : { state: 'dead', deadForMs }
  }

  list(): { node: NodeId; status: NodeStatus }[] {
    return [...this.#store.nodes.keys()].map((node) => ({ node, status: this.status(node) }))
  }

  async announce(text: string): Promise<void> {
    checkAnnouncement(text)
    if (this.#self === undefined) throw new RegistryUnavailable('announce() was called before identify()')
    this.#announcement = text
    this.#store.open()
    this.#store.putAnnouncement(this.#self, text)
  }

  async announced(node: NodeId): Promise<string | undefined> {
    this.#store.open()
    return this.#store.announcement(node)
  }

  async leave(): Promise<void> {
    this.#announcement = undefined
    this.#store.open()
    if (this.#self === undefined) return
    this.#store.announcements.delete(this.#self)
    this.#leaseEndsAt = Number.NEGATIVE_INFINITY
    this.#store.nodes.set(this.#self, {
      end: this.#store.now() - this.#store.times.graceMs - 1,
      settledAt: 0,
    })
  }

  #forget(now: number): void {
    const retentionMs = deadRetentionMs(this.#store.times)
    for (const [node, { end }] of this.#store.nodes)
      if (now - end > retentionMs) this.#store.nodes.delete(node)
    for (const node of this.#store.announcements.keys()) this.#store.announcement(node)
  }
}
