import { randomBytes } from 'node:crypto'
import type { NodeId } from '@peerage/protocol'
import type { Backend, BackendEvent, Clock, MailboxLimits, OnError, Times } from '@peerage/core'
import { deadRetentionMs, defaultMailboxLimits, inTurn } from '@peerage/core'
import type { BusLimits } from './bus.js'
import { MasterMarks } from './master-marks.js'
import { RedisBus, defaultBusLimits } from './bus.js'
import { Commands } from './connections/commands.js'
import type { Client, ConnectOptions, RedisTls } from './connections/connect.js'
import { clientForCommands, localAddressOf, open } from './connections/connect.js'
import { Health, type OnCanary } from './connections/health.js'
import type { Inspection } from './inspect.js'
import { inspect } from './inspect.js'
import type { PubSub } from './connections/pubsub.js'
import { makePubSub } from './connections/pubsub.js'
import { Keys, checkPrefix } from './keys.js'
import { RedisMailbox } from './mailbox.js'
import { RedisNameIndex } from './name-index.js'
import { RedisNodes } from './nodes.js'
import { RedisPools } from './pools.js'
import { RedisPresence } from './presence.js'
import { RedisAnswers, RedisRecords } from './records.js'
import { RedisRegistry } from './registry.js'
import { RedisRooms } from './rooms.js'
import { RedisSeats } from './seats.js'
import { Reports } from './connections/reports.js'
import type { RedisAddress } from './connections/url.js'
import { parseRedisUrl } from './connections/url.js'

export interface RedisBackendOptions {
  /** `redis://`, `rediss://`, `redis+sentinel://` or `redis+cluster://`: see parseRedisUrl. */
  url: string
  /** The beginning of every key and channel. Clusters that share a Redis need different ones. Default `pg:`. */
  prefix?: string
  times: Times
  clock: Clock
  onError: OnError
  /** In place of those in the URL, because a URL shows up in process lists. */
  username?: string
  password?: string
  tls?: RedisTls
  mailboxLimits?: Partial<MailboxLimits>
  busLimits?: Partial<BusLimits>
  /** For metrics: the delay of the bus, and what it lost. */
  onCanary?: OnCanary
}

export interface RedisBackend extends Backend {
  /** Data about Redis for the `doctor` command. Rejects with RegistryUnavailable. */
  inspect(): Promise<Inspection>
  /**
   * The local IP address of the connection to Redis: other nodes are likely to reach this node under it. An IPv4
   * address on a dual-stack socket is returned as IPv4. Undefined while there is no connection, and if Redis is not
   * reached over IP.
   */
  localAddress(): string | undefined
  /** Replaces the TLS texts, from the next connection on. */
  renewTls(tls: RedisTls): void
  /** Records on the bus that were not envelopes, since the start. */
  readonly malformed: number
}

export const DEFAULT_PREFIX = 'pg:'

/** Makes a backend on Redis. Throws if the URL or the prefix is not valid. Connects with `start`. */
export function createRedisBackend(options: RedisBackendOptions): RedisBackend {
  return new RedisStores(options)
}

class RedisStores implements RedisBackend {
  readonly registry: RedisRegistry
  readonly index: RedisNameIndex
  readonly records: RedisRecords
  readonly answers: RedisAnswers
  readonly nodes: RedisNodes
  readonly presence: RedisPresence
  readonly rooms: RedisRooms
  readonly seats: RedisSeats
  readonly pools: RedisPools
  readonly mailbox: RedisMailbox
  readonly bus: RedisBus
  readonly #clock: Clock
  readonly #address: RedisAddress
  readonly #tls: RedisTls
  readonly #reports: Reports
  readonly #client: Client
  readonly #commands: Commands
  readonly #pubsub: PubSub
  readonly #health: Health
  #isStopped = false
  #listener: ((event: BackendEvent) => void) | undefined
  #end: (() => void) | undefined

  constructor(options: RedisBackendOptions) {
    const { times, clock } = options
    const { commandMs } = times
    this.#clock = clock
    this.#address = readAddress(options)
    this.#tls = { ...options.tls }
    this.#reports = new Reports(options.onError, clock)
    const keys = readPrefix(options)
    const onError = this.#onError
    const connectOptions = this.#connectOptions(options)
    this.#client = clientForCommands(connectOptions)
    this.#commands = new Commands({ client: this.#client, clock, commandMs, onError })
    const single = this.#address.topology !== 'cluster'
    const stored = { commands: this.#commands, keys, times, clock, commandMs, onError }
    const masterMarks = new MasterMarks({
      ...stored,
      retentionMs: times.nodeLeaseMs + deadRetentionMs(times),
    })
    const canarySender = randomBytes(6).toString('base64url')
    this.#pubsub = makePubSub({
      ...stored,
      connectOptions,
      canary: (word) => keys.canary(canarySender, word),
      onSlots: (slots) => masterMarks.arrange(slots),
      // A single server loses names only if the connection for commands is lost, too.
      onRestored: (why) => this.#onEvent({ type: 'doubt', why, names: !single }),
      onChange: () => this.#health.evaluate(),
      onError: (error, context) => {
        if (context.stage === 'subscribe') this.#failed(error, context)
        else onError(error, context)
      },
    })
    const { publishing, subscriptions } = this.#pubsub
    const heard = { ...stored, publishing, subscriptions }
    this.bus = new RedisBus({
      ...heard,
      limits: { ...defaultBusLimits, ...options.busLimits },
      onCanary: (channel) => this.#health.heard(channel),
    })
    this.#health = new Health({
      ...heard,
      client: this.#client,
      beatMs: times.beatMs,
      inbox: () => this.bus.inbox,
      onEvent: this.#onEvent,
      onCanary: options.onCanary ?? (() => {}),
    })
    this.nodes = new RedisNodes({
      ...stored,
      ...(single ? {} : { masterMarks }),
      onLoss: () => this.#onEvent({ type: 'doubt', why: 'Redis has forgotten names', names: true }),
    })
    this.registry = new RedisRegistry({ ...stored, nodes: this.nodes, single })
    this.index = new RedisNameIndex({ ...stored, nodes: this.nodes })
    this.records = new RedisRecords({ ...stored, nodes: this.nodes })
    this.answers = new RedisAnswers(stored)
    this.rooms = new RedisRooms(heard)
    this.seats = new RedisSeats(stored)
    this.pools = new RedisPools(stored)
    this.presence = new RedisPresence(heard)
    const mailboxLimits = { ...defaultMailboxLimits, ...options.mailboxLimits }
    this.mailbox = new RedisMailbox({ ...stored, limits: mailboxLimits })
  }

  // Fields rather than methods, because an application may replace a part in a copy, `{ ...backend, registry }`, and
  // a copy has no methods.

  readonly identify = (node: NodeId): void => this.nodes.identify(node)

  readonly start = async (onEvent: (event: BackendEvent) => void): Promise<void> => {
    this.#isStopped = false
    this.#listener = onEvent
    this.#end = open(this.#client, this.#clock)
    this.#pubsub.start()
    await this.#health.start()
  }

  readonly stop = async (): Promise<void> => {
    const steps = [
      () => this.#health.stop(),
      () => this.bus.close(),
      () => void (this.#isStopped = true),
      () => this.#pubsub.stop(),
      () => this.#end?.(),
    ]
    await inTurn(steps, (error) => this.#reports.onError(error, { stage: 'stop' }))
    this.#listener = undefined
  }

  readonly localAddress = (): string | undefined => localAddressOf(this.#client)

  readonly renewTls = (tls: RedisTls): void => void Object.assign(this.#tls, tls)

  readonly inspect = (): Promise<Inspection> => inspect(this.#commands, this.#address.topology, this.nodes)

  get malformed(): number {
    return this.bus.malformed
  }

  readonly #onEvent = (event: BackendEvent): void => this.#listener?.(event)

  // Commands that were pending when the connections were closed have failed, and no caller waits for them.
  readonly #onError: OnError = (error, context) => {
    if (!this.#isStopped) this.#reports.onError(error, context)
  }

  #connectOptions({ times, clock }: RedisBackendOptions): ConnectOptions {
    return {
      address: this.#address,
      commandMs: times.commandMs,
      clock,
      tls: this.#tls,
      onError: (error) => this.#failed(error, { stage: 'redis connection' }),
    }
  }

  /** Reports a failure that explains why this node is not healthy. */
  #failed(error: unknown, context: { stage: string }): void {
    this.#onError(error, context)
    this.#health.failed(error)
  }
}

function readAddress(options: RedisBackendOptions): RedisAddress {
  const parsed = parseRedisUrl(options.url)
  if (!parsed.ok) throw new Error(`Redis URL: ${parsed.problem}`)
  const { username = parsed.address.username, password = parsed.address.password } = options
  return {
    ...parsed.address,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  }
}

function readPrefix({ prefix = DEFAULT_PREFIX }: RedisBackendOptions): Keys {
  const problem = checkPrefix(prefix)
  if (problem !== undefined) throw new Error(`Redis prefix: ${problem}`)
  return new Keys(prefix)
}
