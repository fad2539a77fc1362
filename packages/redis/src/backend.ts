import { randomBytes } from 'node:crypto'
import type { Backend, BackendEvent, Clock, MailboxLimits, OnError, Times } from '@peerage/core'
import { deadRetentionMs, defaultMailboxLimits, inTurn } from '@peerage/core'
import type { BusLimits } from './bus.js'
import { Births } from './births.js'
import { RedisBus, defaultBusLimits } from './bus.js'
import { Commands } from './connections/commands.js'
import type { ConnectOptions, RedisTls } from './connections/connect.js'
import { clientForCommands, open } from './connections/connect.js'
import { RedisDirectory } from './directory.js'
import { Health, type OnCanary } from './connections/health.js'
import type { Inspection } from './inspect.js'
import { inspect } from './inspect.js'
import { makePubSub } from './connections/pubsub.js'
import { Keys, checkPrefix } from './keys.js'
import { RedisMailbox } from './mailbox.js'
import { RedisNodes } from './nodes.js'
import { RedisPresence } from './presence.js'
import type { Publishing } from './connections/publishing.js'
import { RedisRegistry } from './registry.js'
import { RedisRooms } from './rooms.js'
import { Reports } from './connections/reports.js'
import type { Subscriptions } from './connections/subscriptions.js'
import type { RedisAddress } from './connections/url.js'
import { UnfitRedis, wordsOf } from './connections/errors.js'
import { parseRedisUrl } from './connections/url.js'

export interface RedisBackendOptions {
  /** `redis://`, `rediss://`, `redis+sentinel://` or `redis+cluster://`: see parseRedisUrl. */
  url: string
  /** Before every key and channel; one of its own for each cluster on a shared Redis. Default `pg:`. */
  prefix?: string
  times: Times
  clock: Clock
  onError: OnError
  /** Instead of the ones in the URL, which end up in process lists. */
  username?: string
  password?: string
  tls?: RedisTls
  mailboxLimits?: Partial<MailboxLimits>
  busLimits?: Partial<BusLimits>
  /** For metrics: the bus's own lag, and what it lost. */
  onCanary?: OnCanary
}

export interface RedisBackend extends Backend {
  /** What an operator's check wants to know. Rejects with RegistryUnavailable. */
  inspect(): Promise<Inspection>
  /** Other TLS texts, from the next connection on. */
  renewTls(tls: RedisTls): void
  /** Payloads on the bus that were not envelopes, since the start. */
  readonly malformed: number
}

export const DEFAULT_PREFIX = 'pg:'

/** The store of a cluster on Redis. Throws when the URL or the prefix cannot be; connects with `start`. */
export function createRedisBackend(options: RedisBackendOptions): RedisBackend {
  const { times, clock } = options
  const { commandMs } = times
  const address = readAddress(options)
  const keys = readPrefix(options)
  const reports = new Reports(options.onError, clock)
  let isStopped = false
  // What was on its way when the connections were closed has failed, and nobody waits for it any more.
  const onError: OnError = (error, context) => {
    if (!isStopped) reports.onError(error, context)
  }
  let listener: ((event: BackendEvent) => void) | undefined
  let end: (() => void) | undefined
  const onEvent = (event: BackendEvent): void => listener?.(event)

  const tls: RedisTls = { ...options.tls }
  const connectOptions: ConnectOptions = {
    address,
    commandMs,
    clock,
    tls,
    onError: (error) => {
      onError(error, { stage: 'redis connection' })
      health.failed(wordsOf(error))
      if (error instanceof UnfitRedis) health.refuse(error)
    },
  }
  const client = clientForCommands(connectOptions)
  const commands = new Commands({ client, clock, commandMs, onError })
  const singer = randomBytes(6).toString('base64url')
  const isCluster = address.topology === 'cluster'
  const births = new Births({
    commands,
    keys,
    retentionMs: times.nodeLeaseMs + deadRetentionMs(times),
    onError,
  })
  const pubsub = makePubSub({
    connectOptions,
    commands,
    clock,
    commandMs,
    canary: (word) => keys.canary(singer, word),
    onSlots: (slots) => births.arrange(slots),
    // On one server, names are gone only when the connection for commands is lost, too.
    onRestored: (why) => onEvent({ type: 'doubt', why, names: isCluster }),
    onChange: () => health.evaluate(),
    onError: (error, context) => {
      onError(error, context)
      if (context.stage === 'subscribe') health.failed(wordsOf(error))
    },
  })
  const { publishing, subscriptions } = pubsub
  const talk = { publishing, subscriptions, keys, clock, commandMs, onError }
  const limits = { ...defaultBusLimits, ...options.busLimits }
  const bus = new RedisBus({ ...talk, limits, onCanary: (channel) => health.heard(channel) })
  const health: Health = new Health({
    ...talk,
    commands: client,
    beatMs: times.beatMs,
    inbox: () => bus.inbox,
    onEvent,
    onCanary: options.onCanary ?? (() => {}),
  })
  const onAbsent = (): void => onEvent({ type: 'doubt', why: 'Redis has forgotten names', names: true })
  const nodes = new RedisNodes({ commands, keys, times, clock, ...(isCluster ? { births } : {}), onAbsent })
  return {
    ...makeStores({ options, commands, nodes, talk, single: !isCluster }),
    nodes,
    bus,
    identify: (node) => nodes.identify(node),
    start: async (onBackendEvent) => {
      isStopped = false
      listener = onBackendEvent
      end = open(client, clock)
      pubsub.start()
      await health.start()
    },
    stop: async () => {
      const steps = [
        () => health.stop(),
        () => bus.close(),
        () => void (isStopped = true),
        () => pubsub.stop(),
      ]
      await inTurn([...steps, () => end?.()], (error) => reports.onError(error, { stage: 'stop' }))
      listener = undefined
    },
    renewTls: (renewed) => void Object.assign(tls, renewed),
    inspect: () => inspect(commands, address.topology, nodes),
    get malformed() {
      return bus.malformed
    },
  }
}

interface StoresOptions {
  options: RedisBackendOptions
  commands: Commands
  nodes: RedisNodes
  single: boolean
  talk: {
    publishing: Publishing
    subscriptions: Subscriptions
    keys: Keys
    clock: Clock
    commandMs: number
    onError: OnError
  }
}

// What keeps no state of its own: all of it is in Redis.
function makeStores(
  parts: StoresOptions,
): Pick<RedisBackend, 'registry' | 'directory' | 'rooms' | 'presence' | 'mailbox'> {
  const { options, commands, nodes, talk, single } = parts
  const { keys, subscriptions, onError } = talk
  const limits = { ...defaultMailboxLimits, ...options.mailboxLimits }
  return {
    registry: new RedisRegistry({ commands, keys, nodes, times: options.times, single, onError }),
    directory: new RedisDirectory({ commands, keys }),
    rooms: new RedisRooms({ ...talk, commands }),
    presence: new RedisPresence({ subscriptions, keys, onError }),
    mailbox: new RedisMailbox({ commands, keys, limits, onError }),
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
