import type { BackendEvent, Clock, OnError, Timer } from '@peerage/core'
import type { Redis } from 'ioredis'
import type { Client } from './connect.js'
import type { Publishing } from './publishing.js'
import type { Subscriptions } from './subscriptions.js'
import { UnfitRedis } from './errors.js'

export interface HealthOptions {
  commands: Client
  publishing: Publishing
  subscriptions: Subscriptions
  clock: Clock
  beatMs: number
  commandMs: number
  /** The channel that matters most: the bus's own, once there is one. */
  inbox: () => string | undefined
  onEvent: (event: BackendEvent) => void
  onCanary: OnCanary
  onError: OnError
}

/** What became of one canary: how long it took through Redis and back, or that the next one was due before it came. */
export type OnCanary = (canary: { heard: true; lagMs: number } | { heard: false }) => void

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
  readonly #options: HealthOptions
  /** Channel → songs sent since one was last heard. */
  readonly #unheard = new Map<string, number>()
  /** Channel → when the song was sung that is the only one not heard yet: all songs are alike. */
  readonly #sungAt = new Map<string, number>()
  #timers: Timer[] = []
  #running = false
  #told: { healthy: boolean; why: string } | undefined
  #version: { ok: true } | { ok: false; why: string } = { ok: false, why: 'not connected to Redis yet' }
  /** Channels that were found deaf, and not heard since. */
  readonly #deaf = new Set<string>()
  #canaries: string[] = []
  #wasReady = false
  #lastError = ''
  #refuse: (why: UnfitRedis) => void = () => {}

  constructor(options: HealthOptions) {
    this.#options = options
  }

  /**
   * Resolves when Redis answers, or when it first does not: then it is retried. Rejects with UnfitRedis.
   */
  start(): Promise<void> {
    this.#running = true
    const { commands } = this.#options
    const started = new Promise<void>((resolve, reject) => {
      this.#refuse = reject
      this.#once(resolve)
      commands.on('ready', () => {
        // A reconnect may be to a Redis that has forgotten everything: nobody claims before that is known.
        if (this.#wasReady)
          this.#options.onEvent({ type: 'doubt', why: 'connected to Redis again', names: true })
        this.#wasReady = true
        this.#checkVersion().then(
          () => {
            this.#onReady()
            if (!this.#version.ok) this.refuse(new UnfitRedis(this.#version.why))
          },
          (error: unknown) => this.#options.onError(error, { stage: 'version' }),
        )
      })
    })
    commands.on('close', () => this.evaluate())
    this.#every(PING_MS, () => this.#ping())
    this.#every(this.#options.beatMs, () => this.#sing())
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

  /** This Redis will not do: a start that is under way fails. */
  refuse(why: UnfitRedis): void {
    this.#refuse(why)
  }

  /** Looks at everything that makes this node healthy, and tells when the answer is another one. */
  evaluate(): void {
    if (!this.#running) return
    const why = this.#ailment()
    const told = { healthy: why === undefined, why: why ?? 'connected to Redis' }
    if (told.healthy === this.#told?.healthy && told.why === this.#told.why) return
    this.#told = told
    this.#options.onEvent({ type: 'health', ...told })
  }

  #ailment(): string | undefined {
    const { commands, publishing, subscriptions } = this.#options
    const because = this.#lastError === '' ? '' : `: ${this.#lastError}`
    if (commands.status !== 'ready') return `not connected to Redis${because}`
    if (!this.#version.ok) return this.#version.why
    if (!publishing.connected) return `not connected to Redis for publishing${because}`
    if (!subscriptions.connected) return `not connected to Redis for subscribing${because}`
    if (!subscriptions.stands) return `not subscribed to all channels yet${because}`
    return this.#deaf.size > 0 ? 'what this node publishes to itself does not arrive' : undefined
  }

  #onReady(): void {
    this.#lastError = ''
    this.evaluate()
  }

  // Resolves by the first of: everything is connected, something failed, time is up.
  #once(resolve: () => void): void {
    const { clock, commands, publishing, subscriptions, commandMs } = this.#options
    const look = (): void => {
      const all = commands.status === 'ready' && publishing.connected && this.#version.ok
      const ready = all && subscriptions.stands
      const late = clock.monotonic() >= until
      if (ready || late || this.#lastError !== '' || !this.#running) resolve()
      else clock.after(START_LOOK_MS, look)
    }
    const until = clock.monotonic() + 2 * commandMs
    look()
  }

  async #checkVersion(): Promise<void> {
    try {
      const version = readVersion(await this.#options.commands.info('server'))
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
      this.#options.onError(error, { stage: 'version' })
    }
  }

  #every(ms: number, task: () => Promise<void>): void {
    const index = this.#timers.length
    const again = (): void => {
      if (!this.#running) return
      this.#timers[index] = this.#options.clock.after(ms, () => {
        task()
          .catch((error: unknown) => this.#options.onError(error, { stage: 'health' }))
          .finally(again)
      })
    }
    again()
  }

  async #ping(): Promise<void> {
    await Promise.all(this.#options.subscriptions.clients().map((client) => this.#pingOne(client)))
  }

  async #pingOne(client: Redis): Promise<void> {
    const { clock, commandMs, onError } = this.#options
    const timer = clock.after(commandMs, () => client.disconnect(true))
    try {
      await client.ping()
    } catch (error) {
      onError(error, { stage: 'ping' })
    } finally {
      timer.cancel()
    }
  }

  async #sing(): Promise<void> {
    const { inbox, subscriptions } = this.#options
    const canaries = subscriptions.canaries()
    for (const old of this.#canaries) if (!canaries.includes(old)) subscriptions.drop(old)
    for (const channel of canaries) await this.#listen(channel)
    this.#canaries = canaries
    const own = inbox()
    const channels = own === undefined ? canaries : [...canaries, own]
    for (const channel of this.#unheard.keys()) if (!channels.includes(channel)) this.#unheard.delete(channel)
    this.#sungAt.clear()
    for (const channel of this.#deaf) if (!channels.includes(channel)) this.#deaf.delete(channel)
    const deaf = channels.filter((channel) => (this.#unheard.get(channel) ?? 0) >= MISSES_MOST)
    for (const channel of deaf) {
      this.#deaf.add(channel)
      this.#unheard.delete(channel)
      subscriptions.rebuild(channel, `${MISSES_MOST} canaries were not heard`)
    }
    if (deaf.length > 0) this.evaluate()
    await Promise.all(channels.map((channel) => this.#singOver(channel)))
  }

  async #listen(channel: string): Promise<void> {
    if (this.#canaries.includes(channel)) return
    try {
      await this.#options.subscriptions.want(channel, () => this.heard(channel), 'node')
    } catch (error) {
      this.#options.onError(error, { stage: 'canary' })
    }
  }

  async #singOver(channel: string): Promise<void> {
    const { publishing, onError } = this.#options
    const published = publishing.publish(channel, CANARY)
    if (published === undefined) return
    const before = this.#unheard.get(channel) ?? 0
    if (before > 0) this.#options.onCanary({ heard: false })
    else this.#sungAt.set(channel, this.#options.clock.monotonic())
    // Counted before its answer comes: it may be heard before that.
    this.#unheard.set(channel, before + 1)
    try {
      await published
    } catch (error) {
      // Not sung, so not missed.
      this.#unheard.set(channel, Math.max(0, (this.#unheard.get(channel) ?? 0) - 1))
      this.#sungAt.delete(channel)
      this.#options.onCanary({ heard: false })
      onError(error, { stage: 'canary' })
    }
  }

  /** A canary was heard. */
  heard(channel: string): void {
    const sungAt = this.#sungAt.get(channel)
    this.#sungAt.delete(channel)
    if (sungAt !== undefined)
      this.#options.onCanary({ heard: true, lagMs: this.#options.clock.monotonic() - sungAt })
    this.#unheard.set(channel, 0)
    if (this.#deaf.delete(channel)) this.evaluate()
  }
}

/** No record begins so: the bus tells it from envelopes. */
export const CANARY = '~'
const START_LOOK_MS = 5

/** The version of a Redis or Valkey server, as INFO tells it. */
export function readVersion(info: string): string {
  return /^valkey_version:(\S+)/mu.exec(info)?.[1] ?? /^redis_version:(\S+)/mu.exec(info)?.[1] ?? 'unknown'
}
