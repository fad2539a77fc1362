import type { Redis } from 'ioredis'
import type { Clock, OnError } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import { Once } from './stamp.js'
import type { Subscriptions } from './subscriptions.js'
import { ServerSubscriptions } from './subscriptions.js'
import type { SlotMap } from './topology.js'
import type { Handler, Whose } from './wanted.js'

export interface ClusterSubscriptionsOptions {
  /** A client to one master, `host:port`, that has not begun to connect. */
  newClient: (master: string) => Redis
  clock: Clock
  commandMs: number
  /** A canary's channel, for any word: some word of a few falls into each shard. */
  canary: (word: string) => string
  /** Subscriptions were lost, or slots changed hands: data may be lost with them. */
  onRestored: (why: string) => void
  /** A connection is down, or a server said that a slot is not its own any more. */
  onMoved: () => void
  onChange: () => void
  onError: OnError
}

const PLACED_LOOK_MS = 10

interface Wanted {
  /** What it gets has passed `once`, which knows what came over the connections of before, too. */
  handler: Handler
  once: Once
  whose: Whose
  /** On whose connection it was asked for. */
  master: string | undefined
}

/**
 * Sharded subscriptions on a Cluster: one connection to each master, each channel on the one that serves its slot.
 * When a slot moves or a master falls, its channels are made to stand where they belong now.
 */
export class ClusterSubscriptions implements Subscriptions {
  readonly #options: ClusterSubscriptionsOptions
  readonly #shards = new Map<string, ServerSubscriptions>()
  readonly #wanted = new Map<string, Wanted>()
  /** The node's own among them. */
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

  get stands(): boolean {
    if (this.#slots === undefined) return false
    for (const channel of this.#own) if (this.#wanted.get(channel)?.master === undefined) return false
    for (const shard of this.#shards.values()) if (!shard.stands) return false
    return true
  }

  /** Whether everything is where it belongs: all channels have a master, and what stood anywhere stands again. */
  get restored(): boolean {
    if (!this.stands) return false
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

  want(channel: string, handler: Handler, whose: Whose): Promise<void> {
    const master = this.#slots?.owner(channel)
    const once = this.#wanted.get(channel)?.once ?? new Once()
    const takeOnce: Handler = (payload) => {
      const taken = once.take(payload)
      if (taken !== undefined) handler(taken)
    }
    this.#wanted.set(channel, { handler: takeOnce, once, whose, master })
    if (whose === 'node') this.#own.add(channel)
    return this.#shardOf(channel)?.want(channel, takeOnce, whose) ?? this.#wantWhenPlaced(channel)
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

  /** Puts every channel where it belongs now. */
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

  // The slots are not known yet, as at the start.
  #wantWhenPlaced(channel: string): Promise<void> {
    const { clock, commandMs } = this.#options
    const until = clock.monotonic() + commandMs
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const wanted = this.#wanted.get(channel)
        const shard = this.#shardOf(channel)
        if (wanted && shard) shard.want(channel, wanted.handler, wanted.whose).then(resolve, reject)
        else if (!wanted || this.#stopped || clock.monotonic() >= until)
          reject(new RegistryUnavailable('the slots of the cluster are not known'))
        else clock.after(PLACED_LOOK_MS, look)
      }
      look()
    })
  }

  #place(channel: string, wanted: Wanted, master: string | undefined): void {
    if (wanted.master === master) return
    const state = wanted.master === undefined ? 'new' : 'lost'
    this.#shardOf(channel)?.drop(channel)
    wanted.master = master
    // Nobody waits for this one; it goes on being wanted, and `restored` says whether it stands.
    this.#shardOf(channel)
      ?.want(channel, wanted.handler, wanted.whose, state)
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

  // What was published while channels moved is lost, so the doubt comes when they stand.
  #changed(): void {
    if (this.#restoring && this.restored) {
      this.#restoring = false
      this.#options.onRestored('slots of the cluster have moved')
    }
    this.#options.onChange()
  }
}
