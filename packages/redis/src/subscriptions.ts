import type { Redis } from 'ioredis'
import type { Clock, OnError, Timer } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import { unavailable } from './command.js'
import { open } from './connect.js'

export type Handler = (payload: string) => void

/** What this node listens to: on one server, or over the shards of a Cluster. */
export interface Listening {
  /**
   * Resolves when the subscription stands. Rejects with RegistryUnavailable at the deadline, and goes on wanting
   * it: it will stand when Redis is back.
   */
  want(channel: string, handler: Handler): Promise<void>
  drop(channel: string): void
  /** Whether everything that is wanted stands. */
  readonly whole: boolean
  /** Whether every connection is up. */
  readonly connected: boolean
  /** Connections that can be asked whether they live. */
  clients(): Redis[]
  /** Makes the connection anew over which a channel is deaf. */
  rebuild(channel: string, why: string): void
  /** Channels over which a node can sing to itself, so that each connection carries one. */
  canaries(): string[]
}

export interface SubscriptionsParts {
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

interface Wanted {
  handler: Handler
  /** Whether the subscription stands on the connection of now. */
  stands: boolean
  waiting: Waiting[]
}

interface Waiting {
  resolve: () => void
  reject: (error: Error) => void
}

/** Channels in one SSUBSCRIBE, so that a reconnect with many of them is a few commands. */
const CHANNELS_PER_COMMAND = 200
/** What an ACL refuses, it refuses on another connection too: it is asked again on this one, this late. */
const REFUSED_RETRY_MS = 1_000
/** A channel that is said to be another server's is asked for there; here again only if the slots say that it is here. */
const MOVED_RETRY_MS = 100

/**
 * Wanted channels, and one connection on which they are made to stand. ioredis's own re-subscription swallows its
 * failures, so it is off, and every new connection is subscribed from here.
 */
export class Subscriptions implements Listening {
  readonly #parts: SubscriptionsParts
  readonly #wanted = new Map<string, Wanted>()
  #client: Redis | undefined
  #end: (() => void) | undefined
  #restoring = false
  #retry: Timer | undefined
  /** What the client said to have moved in this turn, and what is not explained by a refusal. */
  #takenAway = 0

  constructor(parts: SubscriptionsParts) {
    this.#parts = parts
  }

  start(): void {
    this.#open()
  }

  stop(): void {
    this.#retry?.cancel()
    this.#close()
    for (const wanted of this.#wanted.values()) settle(wanted, new RegistryUnavailable('stopped'))
    this.#wanted.clear()
  }

  get connected(): boolean {
    return this.#client?.status === 'ready'
  }

  get whole(): boolean {
    if (!this.connected) return false
    for (const wanted of this.#wanted.values()) if (!wanted.stands) return false
    return true
  }

  clients(): Redis[] {
    return this.#client?.status === 'ready' ? [this.#client] : []
  }

  canaries(): string[] {
    return this.#parts.canaries
  }

  want(channel: string, handler: Handler): Promise<void> {
    const known = this.#wanted.get(channel)
    const wanted: Wanted = known ?? { handler, stands: false, waiting: [] }
    wanted.handler = handler
    if (wanted.stands) return Promise.resolve()
    this.#wanted.set(channel, wanted)
    return new Promise((resolve, reject) => {
      const { clock, commandMs } = this.#parts
      const timer = clock.after(commandMs, () =>
        reject(new RegistryUnavailable(`the subscription did not stand within ${commandMs} ms`)),
      )
      wanted.waiting.push({
        resolve: () => {
          timer.cancel()
          resolve()
        },
        reject: (error) => {
          timer.cancel()
          reject(error)
        },
      })
      if (!known) this.#subscribe([channel])
    })
  }

  drop(channel: string): void {
    const wanted = this.#wanted.get(channel)
    if (!wanted) return
    this.#wanted.delete(channel)
    settle(wanted, new RegistryUnavailable('not wanted any more'))
    const client = this.#client
    if (client?.status !== 'ready') return
    client.sunsubscribe(channel).catch((error: unknown) => {
      // Where a slot has moved away, nothing of it is subscribed any more.
      if (!isMoved(error)) this.#parts.onError(error, { stage: 'unsubscribe' })
    })
  }

  rebuild(_channel: string, why: string): void {
    this.#parts.onError(new Error(`the subscriber is rebuilt: ${why}`), { stage: 'canary' })
    this.#close()
    this.#open()
  }

  #open(): void {
    const client = this.#parts.newClient()
    this.#client = client
    client.on('smessage', (channel: string, payload: string) => {
      if (client === this.#client) this.#wanted.get(channel)?.handler(payload)
    })
    client.on('ready', () => {
      if (client !== this.#client) return
      this.#subscribe([...this.#wanted.keys()])
      this.#parts.onChange()
    })
    client.on('close', () => {
      if (client === this.#client) this.#fall()
    })
    client.on('moved', () => {
      if (client !== this.#client) return
      this.#moved(client)
      this.#parts.onMoved?.()
    })
    this.#end = open(client, this.#parts.clock)
  }

  #close(): void {
    this.#client = undefined
    this.#end?.()
    this.#end = undefined
    this.#fall()
  }

  // Emitted for each channel that was taken away, and for each SSUBSCRIBE that was refused with MOVED, which is no
  // reason to ask anew: that goes in a circle until the slots are known. `#fail` takes those off before the turn ends.
  #moved(client: Redis): void {
    this.#takenAway++
    if (this.#takenAway > 1) return
    setImmediate(() => {
      const some = this.#takenAway > 0
      this.#takenAway = 0
      if (some && client === this.#client) this.#renew()
    })
  }

  // It is not said which: all that stood is asked for again. What does not stand has its own answer to come.
  #renew(): void {
    const stood = [...this.#wanted].flatMap(([channel, { stands }]) => (stands ? [channel] : []))
    this.#fall()
    this.#subscribe(stood)
  }

  #fall(): void {
    for (const wanted of this.#wanted.values()) {
      if (wanted.stands) this.#restoring = true
      wanted.stands = false
    }
    this.#parts.onChange()
  }

  #subscribe(channels: string[]): void {
    const client = this.#client
    if (client?.status !== 'ready') return
    const size = this.#parts.together ? CHANNELS_PER_COMMAND : 1
    for (let from = 0; from < channels.length; from += size) {
      const some = channels.slice(from, from + size)
      client.ssubscribe(...some).then(
        () => this.#stand(client, some),
        (error: unknown) => this.#fail(client, some, error),
      )
    }
  }

  #stand(client: Redis, channels: string[]): void {
    if (client !== this.#client || client.status !== 'ready') return
    for (const channel of channels) {
      const wanted = this.#wanted.get(channel)
      if (!wanted) continue
      wanted.stands = true
      settle(wanted)
    }
    if (this.#restoring && this.whole) {
      this.#restoring = false
      this.#parts.onRestored()
    }
    this.#parts.onChange()
  }

  #fail(client: Redis, channels: string[], error: unknown): void {
    if (client !== this.#client) return
    // The channel will be wanted from another server, once the slots are known.
    if (isMoved(error)) {
      this.#takenAway--
      this.#againIn(MOVED_RETRY_MS)
      return
    }
    this.#parts.onError(error, { stage: 'subscribe', channels: channels.length })
    for (const channel of channels) {
      const wanted = this.#wanted.get(channel)
      if (wanted && !wanted.stands) settle(wanted, unavailable(error))
    }
    if (error instanceof Error && error.message.startsWith('NOPERM')) this.#againIn(REFUSED_RETRY_MS)
    // Anything else is the connection's fault: it is tried on a new one, after its back-off.
    else if (client.status === 'ready') client.disconnect(true)
  }

  #againIn(ms: number): void {
    this.#retry ??= this.#parts.clock.after(ms, () => {
      this.#retry = undefined
      this.#subscribe([...this.#wanted].flatMap(([channel, { stands }]) => (stands ? [] : [channel])))
    })
  }
}

function isMoved(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('MOVED ')
}

function settle(wanted: Wanted, error?: Error): void {
  for (const waiting of wanted.waiting.splice(0)) {
    if (error) waiting.reject(error)
    else waiting.resolve()
  }
}
