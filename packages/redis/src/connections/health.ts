import type { BackendEvent, Clock, OnError, Timer } from '@peerage/core'
import type { Redis } from 'ioredis'
import type { Client } from './connect.js'
import type { Publishing } from './publishing.js'
import type { Subscriptions } from './subscriptions.js'
import { UnfitRedis, wordsOf } from './errors.js'

export interface HealthOptions {
  /** The connection for commands. */
  client: Client
  publishing: Publishing
  subscriptions: Subscriptions
  clock: Clock
  beatMs: number
  commandMs: number
  /** The bus's own channel, once there is one. */
  inbox: () => string | undefined
  onEvent: (event: BackendEvent) => void
  onCanary: OnCanary
  onError: OnError
}

/**
 * The result of one canary: how long it took through Redis and back, or that it had not arrived when the next one was
 * due.
 */
export type OnCanary = (canary: { heard: true; lagMs: number } | { heard: false }) => void

/** How often subscribing connections are pinged. No other timeout covers an idle subscriber. */
const PING_MS = 1_000
/** After this many canaries that did not arrive, the subscription counts as broken. */
const MISSES_MOST = 3
/** How long a start may take before the log says that this node is not connected, unless an attempt fails earlier. */
const START_MS = 1_000
/** The first release with sharded pub/sub. */
const VERSION_LEAST = 7

const NOT_CONNECTED_YET = { ok: false, why: 'not connected to Redis yet' } as const

/** The canaries that this node publishes to itself on one channel. */
interface Probe {
  /** How many canaries were sent after the last one that arrived. */
  unheard: number
  /** When the canary was published, if exactly one has not arrived yet: canaries are all alike. */
  sentAt: number | undefined
  /** Too many canaries in a row did not arrive, and none has arrived since. */
  isBroken: boolean
}

/**
 * Checks that this node can publish and receive. A subscription can be lost without notice, and a frozen Redis keeps its
 * sockets open. So the node publishes a canary (a small test payload) to itself on every shard, and pings the
 * subscribing connections.
 */
export class Health {
  readonly #options: HealthOptions
  readonly #probes = new Map<string, Probe>()
  #timers: Timer[] = []
  #running = false
  /** Everything may still be connecting: the time of a start is not over. */
  #starting = true
  #reported: { healthy: boolean; why: string } | undefined
  #version: { ok: true } | { ok: false; why: string } = NOT_CONNECTED_YET
  #canaries: string[] = []
  #wasReady = false
  #lastError = ''
  /** Rejects the pending start. */
  #refuse: (why: UnfitRedis) => void = () => {}

  constructor(options: HealthOptions) {
    this.#options = options
  }

  /**
   * Resolves when everything is connected, when a first attempt has failed, or when too much time has passed; then it
   * is retried in the background. Rejects with UnfitRedis.
   */
  start(): Promise<void> {
    this.#running = true
    const { client, clock } = this.#options
    // A flag, not a comparison of times: a timer of Node may fire up to 1 ms before its time.
    this.#timers.push(clock.after(START_MS, () => this.#endStart()))
    const started = new Promise<void>((resolve, reject) => {
      this.#refuse = reject
      this.#whenKnown(resolve)
      client.on('ready', () => {
        // After a reconnect Redis may have lost everything. No claim may be judged before this is known.
        if (this.#wasReady)
          this.#options.onEvent({ type: 'doubt', why: 'connected to Redis again', names: true })
        this.#wasReady = true
        this.#checkVersion().then(
          () => {
            this.#onReady()
            if (!this.#version.ok) this.#refuse(new UnfitRedis(this.#version.why))
          },
          (error: unknown) => this.#options.onError(error, { stage: 'version' }),
        )
      })
    })
    client.on('close', () => this.evaluate())
    this.#every(PING_MS, () => this.#ping())
    this.#every(this.#options.beatMs, () => this.#probe())
    this.evaluate()
    return started
  }

  stop(): void {
    this.#running = false
    for (const timer of this.#timers) timer.cancel()
    this.#timers = []
  }

  /** A connection failed. Its error becomes the reason in `why`. */
  failed(error: unknown): void {
    this.#lastError = wordsOf(error)
    this.evaluate()
    if (error instanceof UnfitRedis) this.#refuse(error)
  }

  /** Checks everything that makes this node healthy, and reports a change. */
  evaluate(): void {
    if (!this.#running) return
    const why = this.#problem()
    if (why !== undefined && this.#isStarting()) return
    const told = { healthy: why === undefined, why: why ?? 'connected to Redis' }
    if (told.healthy === this.#reported?.healthy && told.why === this.#reported.why) return
    this.#reported = told
    this.#options.onEvent({ type: 'health', ...told })
  }

  /** Whether this is a normal start: nothing has failed, and there has been little time. */
  #isStarting(): boolean {
    const isUnfit = !this.#version.ok && this.#version !== NOT_CONNECTED_YET
    return this.#starting && this.#reported === undefined && this.#lastError === '' && !isUnfit
  }

  #endStart(): void {
    this.#starting = false
    this.evaluate()
  }

  #problem(): string | undefined {
    const { client, publishing, subscriptions } = this.#options
    const because = this.#lastError === '' ? '' : `: ${this.#lastError}`
    if (client.status !== 'ready') return `not connected to Redis${because}`
    if (!this.#version.ok) return this.#version.why
    if (!publishing.connected) return `not connected to Redis for publishing${because}`
    if (!subscriptions.connected) return `not connected to Redis for subscribing${because}`
    if (!subscriptions.active) return `not subscribed to all channels yet${because}`
    const anyBroken = [...this.#probes.values()].some(({ isBroken }) => isBroken)
    return anyBroken ? 'the canaries that this node publishes to itself do not arrive' : undefined
  }

  #onReady(): void {
    this.#lastError = ''
    this.evaluate()
  }

  // Resolves as soon as everything is connected, something has failed, or time is up.
  #whenKnown(resolve: () => void): void {
    const { clock, client, publishing, subscriptions, commandMs } = this.#options
    const poll = (): void => {
      const all = client.status === 'ready' && publishing.connected && this.#version.ok
      const ready = all && subscriptions.active
      const late = clock.monotonic() >= until
      if (late) this.#endStart()
      if (ready || late || this.#lastError !== '' || !this.#running) resolve()
      else clock.after(START_POLL_MS, poll)
    }
    const until = clock.monotonic() + 2 * commandMs
    poll()
  }

  async #checkVersion(): Promise<void> {
    try {
      const version = readVersion(await this.#options.client.info('server'))
      const major = Number(version.split('.')[0])
      this.#version =
        major < VERSION_LEAST
          ? {
              ok: false,
              why: `Redis ${version} is older than ${VERSION_LEAST}.0, which brought sharded pub/sub`,
            }
          : { ok: true }
    } catch (error) {
      // An ACL may forbid INFO. Then the first script shows whether the server is new enough.
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

  async #probe(): Promise<void> {
    const { inbox, subscriptions } = this.#options
    const canaries = subscriptions.canaries()
    for (const old of this.#canaries) if (!canaries.includes(old)) subscriptions.drop(old)
    for (const channel of canaries) await this.#listen(channel)
    this.#canaries = canaries
    const own = inbox()
    const channels = own === undefined ? canaries : [...canaries, own]
    for (const channel of this.#probes.keys()) if (!channels.includes(channel)) this.#probes.delete(channel)
    for (const [channel, probe] of this.#probes) this.#judge(channel, probe)
    await Promise.all(channels.map((channel) => this.#sendOver(channel)))
  }

  async #listen(channel: string): Promise<void> {
    if (this.#canaries.includes(channel)) return
    try {
      await this.#options.subscriptions.want(channel, () => this.heard(channel), 'node')
    } catch (error) {
      this.#options.onError(error, { stage: 'canary' })
    }
  }

  #judge(channel: string, probe: Probe): void {
    probe.sentAt = undefined
    if (probe.unheard < MISSES_MOST) return
    probe.unheard = 0
    probe.isBroken = true
    this.#options.subscriptions.rebuild(channel, `${MISSES_MOST} canaries did not arrive`)
    this.evaluate()
  }

  async #sendOver(channel: string): Promise<void> {
    const { publishing, clock, onCanary, onError } = this.#options
    const published = publishing.publish(channel, CANARY)
    if (published === undefined) return
    const probe = this.#probes.get(channel) ?? { unheard: 0, sentAt: undefined, isBroken: false }
    this.#probes.set(channel, probe)
    if (probe.unheard > 0) onCanary({ heard: false })
    else probe.sentAt = clock.monotonic()
    // Counted before the answer comes, because the canary may arrive before that.
    probe.unheard++
    try {
      await published
    } catch (error) {
      // It was not sent, so it is not missing.
      probe.unheard = Math.max(0, probe.unheard - 1)
      probe.sentAt = undefined
      onCanary({ heard: false })
      onError(error, { stage: 'canary' })
    }
  }

  /** A canary arrived. */
  heard(channel: string): void {
    const probe = this.#probes.get(channel)
    if (probe === undefined) return
    const { sentAt, isBroken } = probe
    if (sentAt !== undefined)
      this.#options.onCanary({ heard: true, lagMs: this.#options.clock.monotonic() - sentAt })
    Object.assign(probe, { unheard: 0, sentAt: undefined, isBroken: false })
    if (isBroken) this.evaluate()
  }
}

/** No record begins with this, so the bus can tell it from envelopes. */
export const CANARY = '~'
const START_POLL_MS = 5

/** The version of a Redis or Valkey server in an INFO answer. */
export function readVersion(info: string): string {
  return /^valkey_version:(\S+)/mu.exec(info)?.[1] ?? /^redis_version:(\S+)/mu.exec(info)?.[1] ?? 'unknown'
}
