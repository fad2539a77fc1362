import type { Redis } from 'ioredis'
import type { Clock } from '@peerage/core'
import { open, writeTogether } from './connect.js'
import { isElsewhere } from './errors.js'
import { Stamp } from './stamp.js'
import type { SlotMap } from './topology.js'

/** Publishes payloads on channels. Payloads on one connection keep their order. */
export interface Publishing {
  /** Whether every connection is up. */
  readonly connected: boolean
  /**
   * Resolves with the number of subscribers that got it: on a Cluster, those at the master that serves the slot,
   * which is where all our nodes subscribe. Returns undefined if there is no connection for this channel now; nothing
   * is queued.
   */
  publish(channel: string, payload: string): Promise<unknown> | undefined
}

/** Publishes on a single server. */
export class ServerPublishing implements Publishing {
  readonly #client: Redis
  readonly #clock: Clock
  #end: (() => void) | undefined

  constructor(client: Redis, clock: Clock, onChange: () => void) {
    this.#client = client
    this.#clock = clock
    client.on('ready', onChange)
    client.on('close', onChange)
  }

  start(): void {
    this.#end = open(this.#client, this.#clock)
  }

  stop(): void {
    this.#end?.()
  }

  get connected(): boolean {
    return this.#client.status === 'ready'
  }

  publish(channel: string, payload: string): Promise<unknown> | undefined {
    if (this.#client.status !== 'ready') return undefined
    writeTogether(this.#client)
    return this.#client.spublish(channel, payload)
  }
}

export interface ClusterPublishingOptions {
  newClient: (master: string) => Redis
  clock: Clock
  onChange: () => void
  /** A server said that it no longer serves a slot. */
  onMoved: () => void
}

/**
 * Publishes on the masters of a Cluster, with one connection each. ioredis's own Cluster client sends a command again
 * after a pause if a connection was not ready for it, and so changes the order of publishes.
 */
export class ClusterPublishing implements Publishing {
  readonly #options: ClusterPublishingOptions
  readonly #publishers = new Map<string, ServerPublishing>()
  readonly #stamp = new Stamp()
  #slots: SlotMap | undefined

  constructor(options: ClusterPublishingOptions) {
    this.#options = options
  }

  stop(): void {
    for (const publisher of this.#publishers.values()) publisher.stop()
    this.#publishers.clear()
  }

  get connected(): boolean {
    if (this.#slots === undefined) return false
    for (const publisher of this.#publishers.values()) if (!publisher.connected) return false
    return true
  }

  arrange(slots: SlotMap): void {
    this.#slots = slots
    for (const master of slots.masters) {
      if (this.#publishers.has(master)) continue
      const { newClient, clock, onChange } = this.#options
      const publisher = new ServerPublishing(newClient(master), clock, onChange)
      this.#publishers.set(master, publisher)
      publisher.start()
    }
    for (const [master, publisher] of this.#publishers) {
      if (slots.masters.has(master)) continue
      this.#publishers.delete(master)
      publisher.stop()
    }
  }

  publish(channel: string, payload: string): Promise<unknown> | undefined {
    const master = this.#slots?.owner(channel)
    const publisher = master === undefined ? undefined : this.#publishers.get(master)
    return publisher?.publish(channel, this.#stamp.put(payload))?.catch((error: unknown) => {
      if (isElsewhere(error)) this.#options.onMoved()
      throw error
    })
  }
}
