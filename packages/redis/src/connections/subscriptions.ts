import type { Redis } from 'ioredis'
import type { Clock, OnError, Timer } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import { open } from './connect.js'
import { isForbidden, isMoved, unavailable } from './errors.js'
import type { Handler, Wanted, Whose } from './wanted.js'
import { WantedChannels, settle } from './wanted.js'

/** What this node listens to: on one server, or over the masters of a Cluster. */
export interface Subscriptions {
  /**
   * Resolves when the subscription stands. Rejects with RegistryUnavailable at the deadline, and goes on wanting
   * it: it will stand when Redis is back.
   */
  want(channel: string, handler: Handler, whose: Whose): Promise<void>
  drop(channel: string): void
  /** Whether the node's own channels stand. What a peer asks for has no say in how the node is. */
  readonly stands: boolean
  /** Whether every connection is up. */
  readonly connected: boolean
  /** Connections that can be asked whether they live. */
  clients(): Redis[]
  /** Makes the connection anew over which a channel is deaf. */
  rebuild(channel: string, why: string): void
  /** Channels over which a node can hear itself, so that each connection carries one. */
  canaries(): string[]
}

export interface ServerSubscriptionsOptions {
  /** A client that has not begun to connect. */
  newClient: () => Redis
  clock: Clock
  commandMs: number
  /** Whether one command may subscribe to channels of several slots. */
  together: boolean
  canaries: string[]
  /** All that is wanted stands again after a loss: what was published meanwhile is lost. */
  onRestored: () => void
  /** Redis took subscriptions away, or will not give them: some channel is another server's now. */
  onMoved?: () => void
  onChange: () => void
  onError: OnError
}

/** Channels in one command: a reconnect, and a peer with many rooms and watches, are a few of them. */
const CHANNELS_PER_COMMAND = 200
/** What an ACL refuses, it refuses on another connection too: it is asked again on this one, this late. */
const REFUSED_RETRY_MS = 1_000
/** A channel that is said to be another server's is asked for there; here again only if the slots say that it is here. */
const MOVED_RETRY_MS = 100

/**
 * Wanted channels, and one connection on which they are made to stand. ioredis's own re-subscription swallows its
 * failures, so it is off, and every new connection is subscribed from here.
 */
export class ServerSubscriptions implements Subscriptions {
  readonly #options: ServerSubscriptionsOptions
  readonly #wanted = new WantedChannels()
  #connection: { client: Redis; end: () => void } | undefined
  /** Something stood and was lost, and `onRestored` has not been called since. */
  #restoring = false
  #retry: Timer | undefined
  /** What is wanted, and what is wanted no more, since this turn began: a peer's rooms and watches go together. */
  readonly #fresh = new Set<string>()
  readonly #dropped = new Set<string>()
  /** What the client said to have moved in this turn, and what is not explained by a refusal. */
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
    this.#wanted.clear(new RegistryUnavailable('stopped'))
  }

  get connected(): boolean {
    return this.#ready !== undefined
  }

  get stands(): boolean {
    return this.connected && this.#wanted.ownStand
  }

  /** Whether nothing that stood is missing. */
  get restored(): boolean {
    return this.connected && this.#wanted.restored
  }

  clients(): Redis[] {
    return this.#ready ? [this.#ready] : []
  }

  canaries(): string[] {
    return this.#options.canaries
  }

  /** `state`: `lost` where it stood on another connection than this one. */
  want(channel: string, handler: Handler, whose: Whose, state: 'new' | 'lost' = 'new'): Promise<void> {
    const isFresh = !this.#wanted.channels.has(channel)
    const wanted = this.#wanted.add(channel, handler, whose, state)
    if (wanted.state === 'stands') return Promise.resolve()
    if (isFresh) this.#soon(this.#fresh, channel)
    return new Promise((resolve, reject) => {
      const { clock, commandMs } = this.#options
      const timer = clock.after(commandMs, () =>
        reject(new RegistryUnavailable(`the subscription did not stand within ${commandMs} ms`)),
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
    settle(wanted, new RegistryUnavailable('not wanted any more'))
    this.#tellRestored()
    this.#soon(this.#dropped, channel)
  }

  rebuild(_channel: string, why: string): void {
    this.#options.onError(new Error(`the subscriber is rebuilt: ${why}`), { stage: 'canary' })
    this.#close()
    this.#open()
  }

  #open(): void {
    const { newClient, clock, onChange, onMoved } = this.#options
    const client = newClient()
    // What a former connection still says is nobody's.
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
    on('close', () => this.#fall())
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
    this.#fall()
  }

  /** The connection, when it takes commands. */
  get #ready(): Redis | undefined {
    const client = this.#connection?.client
    return client?.status === 'ready' ? client : undefined
  }

  #fall(): void {
    if (this.#wanted.fall()) this.#restoring = true
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

  // What was dropped goes first: it may be wanted again by now.
  #ask(): void {
    const dropped = [...this.#dropped]
    const fresh = [...this.#fresh].filter((channel) => this.#wanted.channels.has(channel))
    this.#dropped.clear()
    this.#fresh.clear()
    for (const channels of this.#perCommand(dropped))
      this.#ready?.sunsubscribe(...channels).catch((error: unknown) => {
        // Where a slot has moved away, nothing of it is subscribed any more.
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
      () => this.#stand(client, channels, asked),
      (error: unknown) => this.#fail(client, channels, error, isTold),
    )
  }

  // What was dropped and wanted again since then has an answer of its own to come.
  #stand(client: Redis, channels: string[], asked: (Wanted | undefined)[]): void {
    if (client !== this.#ready) return
    for (const [i, channel] of channels.entries()) {
      const wanted = this.#wanted.channels.get(channel)
      if (wanted && wanted === asked[i]) this.#wanted.stand(wanted)
    }
    this.#tellRestored()
    this.#options.onChange()
  }

  #fail(client: Redis, channels: string[], error: unknown, isTold: boolean): void {
    if (client !== this.#connection?.client) return
    // The channel will be wanted from another server, once the slots are known.
    if (isMoved(error)) {
      this.#takenAway--
      this.#againIn(MOVED_RETRY_MS)
      return
    }
    const forbidden = isForbidden(error)
    if (!isTold) this.#options.onError(error, { stage: 'subscribe', channels: channels.length })
    // It is not said which of them.
    if (forbidden && channels.length > 1) {
      for (const channel of channels)
        if (this.#wanted.channels.has(channel)) this.#subscribeTogether(client, [channel], true)
      return
    }
    for (const channel of channels) {
      const wanted = this.#wanted.channels.get(channel)
      if (wanted && wanted.state !== 'stands') settle(wanted, unavailable(error))
    }
    if (forbidden) this.#againIn(REFUSED_RETRY_MS)
    // Anything else is the connection's fault: it is tried on a new one, after its back-off.
    else if (client.status === 'ready') client.disconnect(true)
  }

  #againIn(ms: number): void {
    this.#retry ??= this.#options.clock.after(ms, () => {
      this.#retry = undefined
      this.#subscribe(this.#wanted.split(this.#wanted.those(false)))
    })
  }

  // Emitted for each channel that was taken away, and for each SSUBSCRIBE that was refused with MOVED, which is no
  // reason to ask anew: that goes in a circle until the slots are known. `#fail` takes those off before the turn ends.
  #moved(client: Redis): void {
    this.#takenAway++
    if (this.#takenAway > 1) return
    setImmediate(() => {
      const some = this.#takenAway > 0
      this.#takenAway = 0
      if (some && client === this.#connection?.client) this.#renew()
    })
  }

  // It is not said which: all that stood is asked for again. What does not stand has its own answer to come.
  #renew(): void {
    const stood = this.#wanted.those(true)
    this.#fall()
    this.#subscribe(this.#wanted.split(stood))
  }
}
