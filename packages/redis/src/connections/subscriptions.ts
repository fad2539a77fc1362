import type { Redis } from 'ioredis'
import type { Clock, OnError, Timer } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import { isForbidden, unavailable } from './commands.js'
import { open } from './connect.js'

export type Handler = (payload: string) => void

/** Who needs a channel: the node itself, to be well, or a peer that joined or watches something. */
export type Whose = 'node' | 'peer'

/** What this node listens to: on one server, or over the shards of a Cluster. */
export interface Listening {
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
  /** Whether the subscription stands on the connection of now; `lost`: it did before. */
  state: 'new' | 'stands' | 'lost'
  waiting: Waiting[]
}

interface Waiting {
  resolve: () => void
  reject: (error: Error) => void
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
export class Subscriptions implements Listening {
  readonly #parts: SubscriptionsParts
  readonly #wanted = new Map<string, Wanted>()
  /** The node's own among them. */
  readonly #own = new Set<string>()
  /** How many stood, and do not yet stand again. */
  #lost = 0
  #client: Redis | undefined
  #end: (() => void) | undefined
  #restoring = false
  #retry: Timer | undefined
  /** What is wanted, and what is wanted no more, since this turn began: a peer's rooms and watches go together. */
  readonly #fresh = new Set<string>()
  readonly #dropped = new Set<string>()
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
    this.#own.clear()
    this.#lost = 0
  }

  get connected(): boolean {
    return this.#client?.status === 'ready'
  }

  get stands(): boolean {
    if (!this.connected) return false
    for (const channel of this.#own) if (this.#wanted.get(channel)?.state !== 'stands') return false
    return true
  }

  /** Whether nothing that stood is missing. What was never there has missed nothing. */
  get restored(): boolean {
    return this.connected && this.#lost === 0
  }

  clients(): Redis[] {
    return this.#client?.status === 'ready' ? [this.#client] : []
  }

  canaries(): string[] {
    return this.#parts.canaries
  }

  /** `state`: `lost` where it stood on another connection than this one. */
  want(
    channel: string,
    handler: Handler,
    whose: Whose,
    state: Exclude<Wanted['state'], 'stands'> = 'new',
  ): Promise<void> {
    const known = this.#wanted.get(channel)
    const wanted: Wanted = known ?? { handler, state, waiting: [] }
    wanted.handler = handler
    if (whose === 'node') this.#own.add(channel)
    if (wanted.state === 'stands') return Promise.resolve()
    if (!known) {
      this.#wanted.set(channel, wanted)
      if (state === 'lost') this.#lost++
    }
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
      if (!known) this.#soon(this.#fresh, channel)
    })
  }

  drop(channel: string): void {
    const wanted = this.#wanted.get(channel)
    if (!wanted) return
    this.#wanted.delete(channel)
    this.#own.delete(channel)
    if (wanted.state === 'lost') this.#lost--
    settle(wanted, new RegistryUnavailable('not wanted any more'))
    this.#tellRestored()
    this.#soon(this.#dropped, channel)
  }

  rebuild(_channel: string, why: string): void {
    this.#parts.onError(new Error(`the subscriber is rebuilt: ${why}`), { stage: 'canary' })
    this.#close()
    this.#open()
  }

  #soon(channels: Set<string>, channel: string): void {
    if (this.#fresh.size + this.#dropped.size === 0) queueMicrotask(() => this.#ask())
    channels.add(channel)
  }

  // What was dropped goes first: it may be wanted again by now.
  #ask(): void {
    const dropped = [...this.#dropped]
    const fresh = [...this.#fresh].filter((channel) => this.#wanted.has(channel))
    this.#dropped.clear()
    this.#fresh.clear()
    const client = this.#client
    if (client?.status !== 'ready') return
    for (const channels of this.#perCommand(dropped))
      client.sunsubscribe(...channels).catch((error: unknown) => {
        // Where a slot has moved away, nothing of it is subscribed any more.
        if (!isMoved(error)) this.#parts.onError(error, { stage: 'unsubscribe' })
      })
    this.#subscribeAll(fresh)
  }

  #perCommand(channels: string[]): string[][] {
    const size = this.#parts.together ? CHANNELS_PER_COMMAND : 1
    const commands: string[][] = []
    for (let from = 0; from < channels.length; from += size) commands.push(channels.slice(from, from + size))
    return commands
  }

  #open(): void {
    const client = this.#parts.newClient()
    this.#client = client
    client.on('smessage', (channel: string, payload: string) => {
      if (client === this.#client) this.#wanted.get(channel)?.handler(payload)
    })
    client.on('ready', () => {
      if (client !== this.#client) return
      this.#subscribeAll(this.#wanted.keys())
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
    const stood = [...this.#wanted].flatMap(([channel, { state }]) => (state === 'stands' ? [channel] : []))
    this.#fall()
    this.#subscribeAll(stood)
  }

  #fall(): void {
    for (const wanted of this.#wanted.values()) {
      if (wanted.state !== 'stands') continue
      this.#restoring = true
      wanted.state = 'lost'
      this.#lost++
    }
    this.#parts.onChange()
  }

  // The node's own first, and apart.
  #subscribeAll(channels: Iterable<string>): void {
    const [own, others]: [string[], string[]] = [[], []]
    for (const channel of channels) (this.#own.has(channel) ? own : others).push(channel)
    this.#subscribe(own)
    this.#subscribe(others)
  }

  #subscribe(channels: string[]): void {
    const client = this.#client
    if (client?.status !== 'ready') return
    for (const some of this.#perCommand(channels)) this.#subscribeTogether(client, some)
  }

  #subscribeTogether(client: Redis, channels: string[], isTold = false): void {
    const asked = channels.map((channel) => this.#wanted.get(channel))
    client.ssubscribe(...channels).then(
      () => this.#stand(client, channels, asked),
      (error: unknown) => this.#fail(client, channels, error, isTold),
    )
  }

  // What was dropped and wanted again since then has an answer of its own to come.
  #stand(client: Redis, channels: string[], asked: (Wanted | undefined)[]): void {
    if (client !== this.#client || client.status !== 'ready') return
    for (const [i, channel] of channels.entries()) {
      const wanted = this.#wanted.get(channel)
      if (!wanted || wanted !== asked[i]) continue
      if (wanted.state === 'lost') this.#lost--
      wanted.state = 'stands'
      settle(wanted)
    }
    this.#tellRestored()
    this.#parts.onChange()
  }

  #tellRestored(): void {
    if (!this.#restoring || !this.restored) return
    this.#restoring = false
    this.#parts.onRestored()
  }

  #fail(client: Redis, channels: string[], error: unknown, isTold: boolean): void {
    if (client !== this.#client) return
    // The channel will be wanted from another server, once the slots are known.
    if (isMoved(error)) {
      this.#takenAway--
      this.#againIn(MOVED_RETRY_MS)
      return
    }
    const forbidden = isForbidden(error)
    if (!isTold) this.#parts.onError(error, { stage: 'subscribe', channels: channels.length })
    // It is not said which of them.
    if (forbidden && channels.length > 1) {
      for (const channel of channels)
        if (this.#wanted.has(channel)) this.#subscribeTogether(client, [channel], true)
      return
    }
    for (const channel of channels) {
      const wanted = this.#wanted.get(channel)
      if (wanted && wanted.state !== 'stands') settle(wanted, unavailable(error))
    }
    if (forbidden) this.#againIn(REFUSED_RETRY_MS)
    // Anything else is the connection's fault: it is tried on a new one, after its back-off.
    else if (client.status === 'ready') client.disconnect(true)
  }

  #againIn(ms: number): void {
    this.#retry ??= this.#parts.clock.after(ms, () => {
      this.#retry = undefined
      const missing = [...this.#wanted].flatMap(([channel, { state }]) =>
        state === 'stands' ? [] : [channel],
      )
      this.#subscribeAll(missing)
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
