import type { Name, NodeId, Peer, RoomId } from '@peerage/protocol'
import type { Clock } from '../lib/clock.js'
import type { MailboxLimits } from '../routing/mailbox.js'
import type { Message } from '../routing/message.js'
import type { IndexEntry } from '../names/name-index.js'
import type { NodeSeen } from '../names/nodes.js'
import type { PresenceChange } from '../presence/presence.js'
import type { Lease } from '../names/registry.js'
import { RegistryUnavailable, rankOf } from '../names/registry.js'
import type { Membership } from '../rooms/registry.js'
import { staleLeaseMs, type Times } from '../times.js'
import type { MemoryPool } from './pool.js'

/** The entry of a name: a lease, or only the epoch of the last one (a tombstone), until it expires. */
export interface Entry {
  lease: Lease | undefined
  epoch: number
  /** Only in a tombstone: the rank for the next claim, if nodes may still know an earlier lease than the last one. */
  rank?: number
  expiresAt: number
}

export interface RoomEntry {
  member: Membership
  expiresAt: number
}

/** A seat in a group that has not met. */
export interface SeatEntry {
  group: string
  /** Whether its member has joined the group. */
  isConfirmed: boolean
  node: NodeId
  expiresAt: number
}

export interface Indexed {
  entry: IndexEntry
  expiresAt: number
}

interface Queue {
  madeAt: number
  messages: Message[]
  length: number
}

/** An announcement, a record or an answer. */
export interface StoredText {
  text: string
  expiresAt: number
}

/** Everything that the nodes of one process share: the counterpart of the keys and channels in Redis. */
export class Store {
  readonly times: Times
  readonly mailboxLimits: MailboxLimits
  readonly names = new Map<Peer, Entry>()
  readonly nodes = new Map<NodeId, NodeSeen>()
  readonly announcements = new Map<NodeId, StoredText>()
  /** When the store was last emptied. At the start of the process nothing can be lost. */
  createdAt = Number.NEGATIVE_INFINITY
  readonly queues = new Map<Peer, Queue>()
  readonly rooms = new Map<RoomId, Map<string, RoomEntry>>()
  /** Seats, by room and size of the group. */
  readonly seats = new Map<string, Map<Name, SeatEntry>>()
  readonly pools = new Map<RoomId, MemoryPool>()
  /** The index, by app and partition. */
  readonly index = new Map<string, Map<Name, Indexed>>()
  /** Records, by app and kind. */
  readonly records = new Map<string, Map<string, StoredText>>()
  /** Answers, by app and key. */
  readonly answers = new Map<string, StoredText>()
  readonly listeners = new Map<RoomId, Set<(text: string) => void>>()
  readonly inboxes = new Map<NodeId, (payload: string) => void>()
  readonly watchers = new Set<(change: PresenceChange) => void>()
  #down = false
  readonly #sweeps = [new Sweep(this.names), new Sweep(this.answers), new Sweep(this.pools)]
  readonly #clock: Clock
  readonly #beganAt: number

  constructor(times: Times, clock: Clock, mailboxLimits: MailboxLimits) {
    this.times = times
    this.mailboxLimits = mailboxLimits
    this.#clock = clock
    this.#beganAt = clock.now() - clock.monotonic()
  }

  /**
   * The registry's time (ms): one clock for all nodes, which never jumps back. It begins at the time of day, so that
   * a holder after a restart of the process is not taken for a holder from before.
   */
  now(): number {
    return Math.floor(this.#beganAt + this.#clock.monotonic())
  }

  get down(): boolean {
    return this.#down
  }

  setDown(down: boolean): void {
    this.#down = down
  }

  /** Every command calls this first. It throws RegistryUnavailable during an outage. */
  open(): void {
    if (this.#down) throw new RegistryUnavailable('the store is down')
  }

  entry(peer: Peer): Entry | undefined {
    const entry = this.names.get(peer)
    if (entry === undefined) return undefined
    if (entry.expiresAt > this.now()) return entry
    this.names.delete(peer)
    return undefined
  }

  /** The lease of a name that is held. */
  lease(peer: Peer): Lease | undefined {
    return this.entry(peer)?.lease
  }

  put(lease: Lease, ttlMs: number): void {
    this.names.set(lease.peer, { lease, epoch: lease.epoch, expiresAt: this.now() + ttlMs })
  }

  /** Replaces the lease without a change of when it ends. */
  replaceLease(lease: Lease): void {
    const entry = this.entry(lease.peer)
    if (entry !== undefined) entry.lease = lease
  }

  putTombstone(lease: Lease): void {
    const [{ epoch }, rank, now] = [lease, rankOf(lease), this.now()]
    // While the epoch is ahead of the clock, a claim must still see it [I2].
    const expiresAt = epoch + TOMBSTONE_MARGIN_MS
    if (rank !== epoch)
      this.names.set(lease.peer, {
        lease: undefined,
        epoch,
        rank,
        expiresAt: Math.max(expiresAt, now + staleLeaseMs(this.times)),
      })
    else if (expiresAt > now) this.names.set(lease.peer, { lease: undefined, epoch, expiresAt })
    else this.names.delete(lease.peer)
  }

  /** Asynchronous, because a publish must not run the receiver's code. */
  post(to: NodeId, payload: string): void {
    queueMicrotask(() => this.inboxes.get(to)?.(payload))
  }

  announce(change: PresenceChange): void {
    for (const watcher of this.watchers) queueMicrotask(() => watcher(change))
  }

  putAnnouncement(node: NodeId, text: string): void {
    this.announcements.set(node, { text, expiresAt: this.now() + this.times.nodeLeaseMs })
  }

  /** A node's announcement. Deletes one that has expired. */
  announcement(node: NodeId): string | undefined {
    const found = this.announcements.get(node)
    if (found === undefined) return undefined
    if (found.expiresAt > this.now()) return found.text
    this.announcements.delete(node)
    return undefined
  }

  /** Deletes expired names, answers and pools, a limited number in each call, so that no call takes long. */
  sweep(): void {
    const now = this.now()
    for (const sweep of this.#sweeps) sweep.some(now)
  }

  /** Empties the store, as FLUSHALL does. Subscriptions stay. */
  flush(): void {
    this.createdAt = this.now()
    this.names.clear()
    this.nodes.clear()
    this.announcements.clear()
    this.queues.clear()
    this.rooms.clear()
    this.pools.clear()
    this.seats.clear()
    this.index.clear()
    this.records.clear()
    this.answers.clear()
  }
}

/** Deletes what has expired in a map, a share in each call. */
class Sweep<Key> {
  readonly #map: Map<Key, { expiresAt: number }>
  #entries: IterableIterator<[Key, { expiresAt: number }]> | undefined

  constructor(map: Map<Key, { expiresAt: number }>) {
    this.#map = map
  }

  some(now: number): void {
    this.#entries ??= this.#map.entries()
    for (let seen = 0; seen < SWEPT_PER_CALL; seen++) {
      const next = this.#entries.next()
      if (next.done) {
        this.#entries = undefined
        return
      }
      const [key, { expiresAt }] = next.value
      if (expiresAt <= now) this.#map.delete(key)
    }
  }
}

const TOMBSTONE_MARGIN_MS = 2
/** A full pass over a million names takes a hundred beats. One call takes under a millisecond. */
const SWEPT_PER_CALL = 10_000
