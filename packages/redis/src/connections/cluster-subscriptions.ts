import type { Redis } from 'ioredis'
import type { Clock, OnError } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import { Deduplicator } from './stamp.js'
import type { Subscriptions } from './subscriptions.js'
import { ServerSubscriptions } from './subscriptions.js'
import type { SlotMap } from './topology.js'
import type { Handler, NeededBy } from './wanted.js'

export interface ClusterSubscriptionsOptions {
  /** Makes a client for one master, `host:port`, that has not begun to connect. */
  newClient: (master: string) => Redis
  clock: Clock
  commandMs: number
  /** A canary's channel for a word. Among a few words there is one for each shard. */
  canary: (word: string) => string
  /**
   * Subscriptions that were lost, or whose slots moved, are active again. What was published meanwhile may be lost.
   */
  onRestored: (why: string) => void
  /** A connection is down, or a server said that it no longer serves a slot. */
  onMoved: () => void
  onChange: () => void
  onError: OnError
}

const PLACED_POLL_MS = 10

interface Wanted {
  /** Receives payloads, without duplicates. `deduplicator` lasts longer than a connection. */
  handler: Handler
  deduplicator: Deduplicator
  neededBy: NeededBy
  /** The master on whose connection it is subscribed to. */
  master: string | undefined
}

/**
 * Sharded subscriptions on a Cluster: one connection to each master, and each channel on the master that serves its
 * slot. When a slot moves or a master fails, its channels are subscribed to on their new master.
 */
export class ClusterSubscriptions implements Subscriptions {
  readonly #options: ClusterSubscriptionsOptions
  readonly #shards = new Map<string, ServerSubscriptions>()
  readonly #wanted = new Map<string, Wanted>()
  /** The node's own channels among them. */
  readonly #own = new Set<string>()
  #slots: SlotMap | undefined
  #canaries: string[] = []
  #restoring = false
  #stopped = true

  constructor(options: ClusterSubscriptionsOptions) {
    this.#options = options
  }

  start(): void {
    this.#stopped = false
  }

  stop(): void {
    this.#stopped = true
    for (const shard of this.#shards.values()) shard.stop()
    this.#shards.clear()
    this.#wanted.clear()
    this.#own.clear()
  }

  get connected(): boolean {
    if (this.#slots === undefined) return false
    for (const shard of this.#shards.values()) if (!shard.connected) return false
    return true
  }

  get active(): boolean {
    if (this.#slots === undefined) return false
    for (const channel of this.#own) if (this.#wanted.get(channel)?.master === undefined) return false
    for (const shard of this.#shards.values()) if (!shard.active) return false
    return true
  }

  /** Whether all channels have a master, and all lost subscriptions are active again. */
  get restored(): boolean {
    if (!this.active) return false
    for (const shard of this.#shards.values()) if (!shard.restored) return false
    for (const { master } of this.#wanted.values()) if (master === undefined) return false
    return true
  }

  clients(): Redis[] {
    return [...this.#shards.values()].flatMap((shard) => shard.clients())
  }

  canaries(): string[] {
    return this.#canaries
  }

  want(channel: string, handler: Handler, neededBy: NeededBy): Promise<void> {
    const master = this.#slots?.owner(channel)
    const deduplicator = this.#wanted.get(channel)?.deduplicator ?? new Deduplicator()
    const withoutDuplicates: Handler = (payload) => {
      const taken = deduplicator.take(payload)
      if (taken !== undefined) handler(taken)
    }
    this.#wanted.set(channel, { handler: withoutDuplicates, deduplicator, neededBy, master })
    if (neededBy === 'node') this.#own.add(channel)
    return this.#shardOf(channel)?.want(channel, withoutDuplicates, neededBy) ?? this.#wantWhenPlaced(channel)
  }

  drop(channel: string): void {
    this.#shardOf(channel)?.drop(channel)
    this.#wanted.delete(channel)
    this.#own.delete(channel)
  }

  rebuild(channel: string, why: string): void {
    this.#shardOf(channel)?.rebuild(channel, why)
    this.#options.onMoved()
  }

  /** Moves each channel to the master that serves it now. */
  arrange(slots: SlotMap, changed: boolean): void {
    if (this.#stopped) return
    if (this.#slots === undefined || changed)
      this.#canaries = [...slots.oneEach(this.#options.canary).values()]
    this.#slots = slots
    for (const master of slots.masters) if (!this.#shards.has(master)) this.#open(master)
    for (const [channel, wanted] of this.#wanted) this.#place(channel, wanted, slots.owner(channel))
    for (const [master, shard] of this.#shards) {
      if (slots.masters.has(master)) continue
      this.#shards.delete(master)
      shard.stop()
    }
    if (changed) this.#restoring = true
    this.#changed()
  }

  #shardOf(channel: string): ServerSubscriptions | undefined {
    const master = this.#wanted.get(channel)?.master
    return master === undefined ? undefined : this.#shards.get(master)
  }

  // The slots are not known yet.
  #wantWhenPlaced(channel: string): Promise<void> {
    const { clock, commandMs } = this.#options
    const until = clock.monotonic() + commandMs
    return new Promise((resolve, reject) => {
      const poll = (): void => {
        const wanted = this.#wanted.get(channel)
        const shard = this.#shardOf(channel)
        if (wanted && shard) shard.want(channel, wanted.handler, wanted.neededBy).then(resolve, reject)
        else if (!wanted || this.#stopped || clock.monotonic() >= until)
          reject(new RegistryUnavailable('the slots of the cluster are not known'))
        else clock.after(PLACED_POLL_MS, poll)
      }
      poll()
    })
  }

  #place(channel: string, wanted: Wanted, master: string | undefined): void {
    if (wanted.master === master) return
    const state = wanted.master === undefined ? 'new' : 'lost'
    this.#shardOf(channel)?.drop(channel)
    wanted.master = master
    // No caller waits for this. The channel stays wanted, and `restored` tells whether its subscription is active.
    this.#shardOf(channel)
      ?.want(channel, wanted.handler, wanted.neededBy, state)
      .catch((error: unknown) => this.#options.onError(error, { stage: 'subscribe' }))
  }

  #open(master: string): void {
    const { newClient, clock, commandMs, onRestored, onMoved, onError } = this.#options
    const shard = new ServerSubscriptions({
      newClient: () => newClient(master),
      clock,
      commandMs,
      together: false,
      canaries: [],
      onRestored: () => onRestored('subscribed again'),
      onMoved,
      onChange: () => {
        if (!shard.connected) onMoved()
        this.#changed()
      },
      onError,
    })
    this.#shards.set(master, shard)
    shard.start()
  }

  // Payloads were lost while channels moved, so the node is told once the channels are active.
  #changed(): void {
    if (this.#restoring && this.restored) {
      this.#restoring = false
      this.#options.onRestored('slots of the cluster have moved')
    }
    this.#options.onChange()
  }
}
