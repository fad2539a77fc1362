import type { Redis } from 'ioredis'
import type { Clock, OnError, Timer } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import { open } from './connect.js'
import { isForbidden, isMoved, unavailable } from './errors.js'
import type { Handler, Wanted, NeededBy } from './wanted.js'
import { WantedChannels, settle } from './wanted.js'

/** The channels that this node subscribes to, on a single server or on the masters of a Cluster. */
export interface Subscriptions {
  /**
   * Subscribes to a channel. Resolves when the subscription is active. Rejects with RegistryUnavailable at the
   * deadline, but still wants the channel: it will become active when Redis is back.
   */
  want(channel: string, handler: Handler, neededBy: NeededBy): Promise<void>
  drop(channel: string): void
  /** Whether the node's own channels are active. Channels that peers need do not affect the health of the node. */
  readonly active: boolean
  /** Whether every connection is up. */
  readonly connected: boolean
  /** Connections that can be pinged. */
  clients(): Redis[]
  /** Replaces the connection of a channel on which canaries do not arrive. */
  rebuild(channel: string, why: string): void
  /** The channels for canaries, one for each connection. */
  canaries(): string[]
}

export interface ServerSubscriptionsOptions {
  /** Makes a client that has not begun to connect. */
  newClient: () => Redis
  clock: Clock
  commandMs: number
  /** Whether one command may subscribe to channels of several slots. */
  together: boolean
  canaries: string[]
  /** All lost subscriptions are active again. What was published meanwhile is lost. */
  onRestored: () => void
  /** Redis ended or refused subscriptions, because another server serves the slots of some channels. */
  onMoved?: () => void
  onChange: () => void
  onError: OnError
}

/** Channels in one command. A reconnect, or a peer with many rooms and watches, needs only a few commands. */
const CHANNELS_PER_COMMAND = 200
/** A channel that an ACL forbids is tried again on this connection after this time: another one would not help. */
const REFUSED_RETRY_MS = 1_000
/**
 * When Redis says that a channel belongs to another server, it is subscribed to there. We try here again only if the
 * slots say that it is still here.
 */
const MOVED_RETRY_MS = 100

/**
 * Keeps the wanted channels subscribed on one connection. ioredis's own re-subscription hides its failures, so it is
 * switched off, and we subscribe each new connection.
 */
export class ServerSubscriptions implements Subscriptions {
  readonly #options: ServerSubscriptionsOptions
  readonly #wanted = new WantedChannels()
  #connection: { client: Redis; end: () => void } | undefined
  /** An active subscription was lost, and `onRestored` has not been called since. */
  #restoring = false
  #retry: Timer | undefined
  /**
   * Channels that have become wanted or unwanted in this turn. Together they need few commands: a peer may have many.
   */
  readonly #fresh = new Set<string>()
  readonly #dropped = new Set<string>()
  /** How many `moved` events came in this turn, less those that a refusal explains. */
  #takenAway = 0

  constructor(options: ServerSubscriptionsOptions) {
    this.#options = options
  }

  start(): void {
    this.#open()
  }

  stop(): void {
    this.#retry?.cancel()
    this.#close()
    this.#wanted.clear(new RegistryUnavailable('the node has stopped'))
  }

  get connected(): boolean {
    return this.#ready !== undefined
  }

  get active(): boolean {
    return this.connected && this.#wanted.ownActive
  }

  /** Whether all lost subscriptions are active again. */
  get restored(): boolean {
    return this.connected && this.#wanted.restored
  }

  clients(): Redis[] {
    return this.#ready ? [this.#ready] : []
  }

  canaries(): string[] {
    return this.#options.canaries
  }

  /** `state`: `lost` if it was active on another connection. */
  want(channel: string, handler: Handler, neededBy: NeededBy, state: 'new' | 'lost' = 'new'): Promise<void> {
    const isFresh = !this.#wanted.channels.has(channel)
    const wanted = this.#wanted.add(channel, handler, neededBy, state)
    if (wanted.state === 'active') return Promise.resolve()
    if (isFresh) this.#soon(this.#fresh, channel)
    return new Promise((resolve, reject) => {
      const { clock, commandMs } = this.#options
      const timer = clock.after(commandMs, () =>
        reject(new RegistryUnavailable(`the subscription was not active within ${commandMs} ms`)),
      )
      wanted.waiting.push((error) => {
        timer.cancel()
        if (error) reject(error)
        else resolve()
      })
    })
  }

  drop(channel: string): void {
    const wanted = this.#wanted.remove(channel)
    if (!wanted) return
    settle(wanted, new RegistryUnavailable('the subscription was cancelled'))
    this.#tellRestored()
    this.#soon(this.#dropped, channel)
  }

  rebuild(_channel: string, why: string): void {
    this.#options.onError(new Error(`reconnecting the subscriber: ${why}`), { stage: 'canary' })
    this.#close()
    this.#open()
  }

  #open(): void {
    const { newClient, clock, onChange, onMoved } = this.#options
    const client = newClient()
    // Events of a former connection are ignored.
    const isOurs = (): boolean => client === this.#connection?.client
    const on = (event: 'ready' | 'close' | 'moved', listener: () => void): void => {
      client.on(event, () => {
        if (isOurs()) listener()
      })
    }
    client.on('smessage', (channel: string, payload: string) => {
      if (isOurs()) this.#wanted.channels.get(channel)?.handler(payload)
    })
    on('ready', () => {
      this.#subscribe(this.#wanted.split())
      onChange()
    })
    on('close', () => this.#lose())
    on('moved', () => {
      this.#moved(client)
      onMoved?.()
    })
    this.#connection = { client, end: open(client, clock) }
  }

  #close(): void {
    const connection = this.#connection
    this.#connection = undefined
    connection?.end()
    this.#lose()
  }

  /** The connection, if it can take commands. */
  get #ready(): Redis | undefined {
    const client = this.#connection?.client
    return client?.status === 'ready' ? client : undefined
  }

  #lose(): void {
    if (this.#wanted.lose()) this.#restoring = true
    this.#options.onChange()
  }

  #tellRestored(): void {
    if (!this.#restoring || !this.restored) return
    this.#restoring = false
    this.#options.onRestored()
  }

  #soon(channels: Set<string>, channel: string): void {
    if (this.#fresh.size + this.#dropped.size === 0) queueMicrotask(() => this.#ask())
    channels.add(channel)
  }

  // Unsubscribe first, because a dropped channel may be wanted again by now.
  #ask(): void {
    const dropped = [...this.#dropped]
    const fresh = [...this.#fresh].filter((channel) => this.#wanted.channels.has(channel))
    this.#dropped.clear()
    this.#fresh.clear()
    for (const channels of this.#perCommand(dropped))
      this.#ready?.sunsubscribe(...channels).catch((error: unknown) => {
        // If the slot has moved away, nothing in it is subscribed any more.
        if (!isMoved(error)) this.#options.onError(error, { stage: 'unsubscribe' })
      })
    this.#subscribe(this.#wanted.split(fresh))
  }

  #perCommand(channels: string[]): string[][] {
    const size = this.#options.together ? CHANNELS_PER_COMMAND : 1
    const commands: string[][] = []
    for (let from = 0; from < channels.length; from += size) commands.push(channels.slice(from, from + size))
    return commands
  }

  #subscribe(groups: string[][]): void {
    const client = this.#ready
    if (client === undefined) return
    for (const channels of groups)
      for (const some of this.#perCommand(channels)) this.#subscribeTogether(client, some)
  }

  #subscribeTogether(client: Redis, channels: string[], isTold = false): void {
    const asked = channels.map((channel) => this.#wanted.channels.get(channel))
    client.ssubscribe(...channels).then(
      () => this.#activate(client, channels, asked),
      (error: unknown) => this.#fail(client, channels, error, isTold),
    )
  }

  // A channel that was dropped and wanted again meanwhile gets an answer of its own.
  #activate(client: Redis, channels: string[], asked: (Wanted | undefined)[]): void {
    if (client !== this.#ready) return
    for (const [i, channel] of channels.entries()) {
      const wanted = this.#wanted.channels.get(channel)
      if (wanted && wanted === asked[i]) this.#wanted.activate(wanted)
    }
    this.#tellRestored()
    this.#options.onChange()
  }

  #fail(client: Redis, channels: string[], error: unknown, isTold: boolean): void {
    if (client !== this.#connection?.client) return
    // The channel will be subscribed to on another server, once the slots are known.
    if (isMoved(error)) {
      this.#takenAway--
      this.#againIn(MOVED_RETRY_MS)
      return
    }
    const forbidden = isForbidden(error)
    if (!isTold) this.#options.onError(error, { stage: 'subscribe', channels: channels.length })
    // Redis does not say which of the channels it refused.
    if (forbidden && channels.length > 1) {
      for (const channel of channels)
        if (this.#wanted.channels.has(channel)) this.#subscribeTogether(client, [channel], true)
      return
    }
    for (const channel of channels) {
      const wanted = this.#wanted.channels.get(channel)
      if (wanted && wanted.state !== 'active') settle(wanted, unavailable(error))
    }
    if (forbidden) this.#againIn(REFUSED_RETRY_MS)
    // Any other error is a failure of the connection: try on a new one, after the retry delay.
    else if (client.status === 'ready') client.disconnect(true)
  }

  #againIn(ms: number): void {
    this.#retry ??= this.#options.clock.after(ms, () => {
      this.#retry = undefined
      this.#subscribe(this.#wanted.split(this.#wanted.those(false)))
    })
  }

  // ioredis emits `moved` for each channel that Redis has ended, and for each SSUBSCRIBE that Redis has refused with
  // MOVED. A refusal is no reason to subscribe again, which would repeat until the slots are known. `#fail` subtracts
  // the refusals before the turn ends.
  #moved(client: Redis): void {
    this.#takenAway++
    if (this.#takenAway > 1) return
    setImmediate(() => {
      const some = this.#takenAway > 0
      this.#takenAway = 0
      if (some && client === this.#connection?.client) this.#renew()
    })
  }

  // Redis does not say which channels, so we subscribe to all active ones again. Channels that were not active get an
  // answer of their own.
  #renew(): void {
    const active = this.#wanted.those(true)
    this.#lose()
    this.#subscribe(this.#wanted.split(active))
  }
}
