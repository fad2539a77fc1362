import type { Clock, OnError } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import { unavailable } from './command.js'
import type { Client } from './connect.js'
import { open } from './connect.js'

export interface SubscriptionsParts {
  /** A client that has not begun to connect. */
  newClient: () => Client
  clock: Clock
  commandMs: number
  /** Whether one command may subscribe to channels of several slots. */
  together: boolean
  /** All that is wanted stands again after a loss: what was published meanwhile is lost. */
  onRestored: (why: string) => void
  onChange: () => void
  onError: OnError
}

interface Wanted {
  handler: (payload: string) => void
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

/**
 * What this node listens to: wanted channels, and a connection on which they are made to stand. ioredis's own
 * re-subscription swallows its failures, so it is off, and every new connection is subscribed from here.
 */
export class Subscriptions {
  readonly #parts: SubscriptionsParts
  readonly #wanted = new Map<string, Wanted>()
  #client: Client | undefined
  #restoring = false
  #stopped = false

  constructor(parts: SubscriptionsParts) {
    this.#parts = parts
  }

  start(): void {
    this.#stopped = false
    this.#open()
  }

  stop(): void {
    this.#stopped = true
    this.#close()
    for (const wanted of this.#wanted.values()) settle(wanted, new RegistryUnavailable('stopped'))
    this.#wanted.clear()
  }

  get client(): Client | undefined {
    return this.#client
  }

  /** Whether everything that is wanted stands. */
  get whole(): boolean {
    if (this.#client?.status !== 'ready') return false
    for (const wanted of this.#wanted.values()) if (!wanted.stands) return false
    return true
  }

  /**
   * Resolves when the subscription stands. Rejects with RegistryUnavailable at the deadline, and goes on wanting
   * it: it will stand when Redis is back.
   */
  want(channel: string, handler: (payload: string) => void): Promise<void> {
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
    client
      .sunsubscribe(channel)
      .catch((error: unknown) => this.#parts.onError(error, { stage: 'unsubscribe' }))
  }

  /** Ends the connection; a new one is made by itself. */
  reconnect(): void {
    this.#client?.disconnect(true)
  }

  /** A new client: for a connection that looks well and hears nothing. */
  rebuild(why: string): void {
    if (this.#stopped) return
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
      if (client === this.#client) this.#subscribe([...this.#wanted.keys()])
      this.#parts.onChange()
    })
    client.on('close', () => {
      if (client === this.#client) this.#fall()
    })
    open(client)
  }

  #close(): void {
    const client = this.#client
    this.#client = undefined
    client?.disconnect()
    this.#fall()
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

  #stand(client: Client, channels: string[]): void {
    if (client !== this.#client || client.status !== 'ready') return
    for (const channel of channels) {
      const wanted = this.#wanted.get(channel)
      if (!wanted) continue
      wanted.stands = true
      settle(wanted)
    }
    if (this.#restoring && this.whole) {
      this.#restoring = false
      this.#parts.onRestored('subscribed again')
    }
    this.#parts.onChange()
  }

  #fail(client: Client, channels: string[], error: unknown): void {
    if (client !== this.#client) return
    this.#parts.onError(error, { stage: 'subscribe', channels: channels.length })
    for (const channel of channels) {
      const wanted = this.#wanted.get(channel)
      if (wanted && !wanted.stands) settle(wanted, unavailable(error))
    }
    // A subscription that is wanted and was refused is tried again on a new connection, after its back-off.
    if (client.status === 'ready') client.disconnect(true)
  }
}

function settle(wanted: Wanted, error?: Error): void {
  for (const waiting of wanted.waiting.splice(0)) {
    if (error) waiting.reject(error)
    else waiting.resolve()
  }
}
