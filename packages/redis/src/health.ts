import type { BackendEvent, Clock, OnError, Timer } from '@peerage/core'
import { Redis } from 'ioredis'
import type { Client } from './connect.js'
import type { Subscriptions } from './subscriptions.js'

export interface HealthParts {
  commands: Client
  publisher: Client
  subscriptions: Subscriptions
  clock: Clock
  beatMs: number
  commandMs: number
  /** Channels over which this node sings to itself: together they lie on every shard that it listens to. */
  canaryChannels: () => Promise<string[]>
  onEvent: (event: BackendEvent) => void
  onError: OnError
}

/** An idle subscriber is covered by no other timeout: it is asked this often whether it lives. */
const PING_MS = 1_000
/** Songs that were sent and not heard, until the subscriber is taken for deaf. */
const MISSES_MOST = 3
/** The first release with sharded pub/sub. */
const VERSION_LEAST = 7

/**
 * Whether this node hears and is heard. A subscription can be lost without a word, and a frozen Redis keeps its
 * sockets open; so the node sings to itself over every shard, and pings the connection that listens.
 */
export class Health {
  readonly #parts: HealthParts
  /** Channel → songs sent since one was last heard. */
  readonly #unheard = new Map<string, number>()
  #timers: Timer[] = []
  #running = false
  #told: { healthy: boolean; why: string } | undefined
  #version: { ok: true } | { ok: false; why: string } = { ok: false, why: 'not connected to Redis yet' }
  #deaf = false
  #wasReady = false
  #lastError = ''

  constructor(parts: HealthParts) {
    this.#parts = parts
  }

  /**
   * Resolves when Redis answers, or when it first does not: then it is retried. Rejects when it is too old.
   */
  start(): Promise<void> {
    this.#running = true
    const { commands, publisher } = this.#parts
    const started = new Promise<void>((resolve, reject) => {
      this.#once(resolve)
      commands.on('ready', () => {
        this.#checkVersion().then(
          () => {
            this.#onReady()
            if (!this.#version.ok) reject(new Error(this.#version.why))
          },
          (error: unknown) => this.#parts.onError(error, { stage: 'version' }),
        )
      })
    })
    commands.on('close', () => this.evaluate())
    publisher.on('ready', () => this.evaluate())
    publisher.on('close', () => this.evaluate())
    this.#every(PING_MS, () => this.#ping())
    this.#every(this.#parts.beatMs, () => this.#sing())
    this.evaluate()
    return started
  }

  stop(): void {
    this.#running = false
    for (const timer of this.#timers) timer.cancel()
    this.#timers = []
  }

  /** The last words of a connection that failed, for those who ask why nothing works. */
  failed(why: string): void {
    this.#lastError = why
    this.evaluate()
  }

  /** Looks at everything that makes this node healthy, and tells when the answer is another one. */
  evaluate(): void {
    if (!this.#running) return
    const why = this.#ailment()
    const told = { healthy: why === undefined, why: why ?? 'connected to Redis' }
    if (told.healthy === this.#told?.healthy && told.why === this.#told.why) return
    this.#told = told
    this.#parts.onEvent({ type: 'health', ...told })
  }

  #ailment(): string | undefined {
    const { commands, publisher, subscriptions } = this.#parts
    const because = this.#lastError === '' ? '' : `: ${this.#lastError}`
    if (commands.status !== 'ready') return `not connected to Redis${because}`
    if (!this.#version.ok) return this.#version.why
    if (publisher.status !== 'ready') return `not connected to Redis for publishing${because}`
    if (subscriptions.client?.status !== 'ready') return `not connected to Redis for subscribing${because}`
    if (!subscriptions.whole) return 'not subscribed to all channels yet'
    return this.#deaf ? 'what this node publishes to itself does not arrive' : undefined
  }

  // A reconnect may be to a Redis that has forgotten everything.
  #onReady(): void {
    if (this.#wasReady) this.#parts.onEvent({ type: 'doubt', why: 'connected to Redis again' })
    this.#wasReady = true
    this.#lastError = ''
    this.evaluate()
  }

  // Resolves by the first of: everything is connected, something failed, time is up.
  #once(resolve: () => void): void {
    const { clock, commands, publisher, subscriptions, commandMs } = this.#parts
    const look = (): void => {
      const all = commands.status === 'ready' && publisher.status === 'ready' && this.#version.ok
      const ready = all && subscriptions.client?.status === 'ready'
      const late = clock.monotonic() >= until
      if (ready || late || this.#lastError !== '' || !this.#running) resolve()
      else clock.after(START_LOOK_MS, look)
    }
    const until = clock.monotonic() + 2 * commandMs
    look()
  }

  async #checkVersion(): Promise<void> {
    try {
      const version = readVersion(await this.#parts.commands.info('server'))
      const major = Number(version.split('.')[0])
      this.#version =
        major < VERSION_LEAST
          ? {
              ok: false,
              why: `Redis ${version} is older than ${VERSION_LEAST}.0, which brought sharded pub/sub`,
            }
          : { ok: true }
    } catch (error) {
      // An ACL may keep INFO from us: then the first script tells whether the server is new enough.
      this.#version = { ok: true }
      this.#parts.onError(error, { stage: 'version' })
    }
  }

  #every(ms: number, task: () => Promise<void>): void {
    const index = this.#timers.length
    const again = (): void => {
      if (!this.#running) return
      this.#timers[index] = this.#parts.clock.after(ms, () => {
        task()
          .catch((error: unknown) => this.#parts.onError(error, { stage: 'health' }))
          .finally(again)
      })
    }
    again()
  }

  async #ping(): Promise<void> {
    const { subscriptions, clock, commandMs } = this.#parts
    const client = subscriptions.client
    // On a Cluster the canaries stand in: there is no way to ping each shard's subscriber.
    if (!(client instanceof Redis) || client.status !== 'ready') return
    let answered = false
    const timer = clock.after(commandMs, () => {
      if (!answered && subscriptions.client === client) subscriptions.reconnect()
    })
    try {
      await client.ping()
      answered = true
    } finally {
      timer.cancel()
    }
  }

  async #sing(): Promise<void> {
    const { canaryChannels, publisher, subscriptions } = this.#parts
    if (publisher.status !== 'ready') return
    const channels = await canaryChannels()
    for (const channel of this.#unheard.keys()) if (!channels.includes(channel)) this.#unheard.delete(channel)
    if (channels.some((channel) => (this.#unheard.get(channel) ?? 0) >= MISSES_MOST)) {
      this.#deaf = true
      this.#unheard.clear()
      subscriptions.rebuild(`${MISSES_MOST} canaries were not heard`)
      this.evaluate()
      return
    }
    await Promise.all(channels.map((channel) => this.#singOver(channel)))
  }

  async #singOver(channel: string): Promise<void> {
    const { publisher, onError } = this.#parts
    try {
      // Counted before it is sent: it may be heard before the answer to the publish comes.
      this.#unheard.set(channel, (this.#unheard.get(channel) ?? 0) + 1)
      await publisher.spublish(channel, CANARY)
    } catch (error) {
      // Not sung, so not missed.
      this.#unheard.set(channel, Math.max(0, (this.#unheard.get(channel) ?? 0) - 1))
      onError(error, { stage: 'canary' })
    }
  }

  /** A canary was heard. */
  heard(channel: string): void {
    this.#unheard.set(channel, 0)
    if (!this.#deaf) return
    this.#deaf = false
    this.evaluate()
  }
}

/** No record begins so: the bus tells it from envelopes. */
export const CANARY = '~'
const START_LOOK_MS = 5

/** The version of a Redis or Valkey server, as INFO tells it. */
export function readVersion(info: string): string {
  return /^valkey_version:(\S+)/mu.exec(info)?.[1] ?? /^redis_version:(\S+)/mu.exec(info)?.[1] ?? 'unknown'
}
