import { randomBytes } from 'node:crypto'
import type { Backend, BackendEvent, Clock, MailboxLimits, OnError, Times } from '@peerage/core'
import { defaultMailboxLimits } from '@peerage/core'
import type { BusLimits } from './bus.js'
import { RedisBus, defaultBusLimits } from './bus.js'
import { Commands } from './command.js'
import type { ConnectOptions } from './connect.js'
import { clientForCommands, open } from './connect.js'
import { RedisDirectory } from './directory.js'
import { Health, type OnCanary } from './health.js'
import type { Inspection } from './inspect.js'
import { inspect } from './inspect.js'
import { makeLinks } from './links.js'
import { Keys, checkPrefix } from './keys.js'
import { RedisMailbox } from './mailbox.js'
import { RedisNodes } from './nodes.js'
import { RedisPresence } from './presence.js'
import { RedisRegistry } from './registry.js'
import { RedisRooms } from './rooms.js'
import { Reports } from './reports.js'
import { parseRedisUrl } from './url.js'

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
  tls?: ConnectOptions['tls']
  mailboxLimits?: Partial<MailboxLimits>
  busLimits?: Partial<BusLimits>
  /** For metrics: the bus's own lag, and what it lost. */
  onCanary?: OnCanary
}

export interface RedisBackend extends Backend {
  /** What an operator's check wants to know. Rejects with RegistryUnavailable. */
  inspect(): Promise<Inspection>
  /** Payloads on the bus that were not envelopes, since the start. */
  readonly malformed: number
}

export const DEFAULT_PREFIX = 'pg:'

/** The store of a cluster on Redis. Throws when the URL or the prefix cannot be; connects with `start`. */
export function createRedisBackend(options: RedisBackendOptions): RedisBackend {
  const { times, clock, prefix = DEFAULT_PREFIX } = options
  const { commandMs } = times
  const parsed = parseRedisUrl(options.url)
  if (!parsed.ok) throw new Error(`Redis URL: ${parsed.problem}`)
  const prefixProblem = checkPrefix(prefix)
  if (prefixProblem !== undefined) throw new Error(`Redis prefix: ${prefixProblem}`)
  const keys = new Keys(prefix)
  const { username = parsed.address.username, password = parsed.address.password } = options
  const address = {
    ...parsed.address,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  }
  const reports = new Reports(options.onError, clock)
  const onError = reports.onError
  let listener: ((event: BackendEvent) => void) | undefined
  const onEvent = (event: BackendEvent): void => listener?.(event)

  const connectOptions: ConnectOptions = {
    address,
    commandMs,
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    onError: (error) => {
      onError(error, { stage: 'redis connection' })
      health.failed(reports.describe(error))
    },
  }
  const commandsClient = clientForCommands(connectOptions)
  const commands = new Commands({ client: commandsClient, clock, commandMs })
  const singer = randomBytes(6).toString('base64url')
  const links = makeLinks({
    connectOptions,
    commands,
    clock,
    commandMs,
    canary: (word) => keys.canary(singer, word),
    onRestored: (why) => onEvent({ type: 'doubt', why }),
    onChange: () => health.evaluate(),
    onError,
  })
  const { publishing, listening } = links
  const bus = new RedisBus({
    publishing,
    subscriptions: listening,
    keys,
    clock,
    commandMs,
    limits: { ...defaultBusLimits, ...options.busLimits },
    onCanary: (channel) => health.heard(channel),
    onError,
  })
  const health: Health = new Health({
    commands: commandsClient,
    publishing,
    subscriptions: listening,
    clock,
    beatMs: times.beatMs,
    commandMs,
    inbox: () => bus.inbox,
    onEvent,
    onCanary: options.onCanary ?? (() => {}),
    onError,
  })
  const nodes = new RedisNodes({
    commands,
    keys,
    times,
    clock,
    onAbsent: () => onEvent({ type: 'doubt', why: 'Redis has forgotten this node' }),
  })
  return {
    registry: new RedisRegistry({ commands, keys, nodes, times, onError }),
    nodes,
    bus,
    directory: new RedisDirectory({ commands, keys }),
    rooms: new RedisRooms({
      commands,
      publishing,
      subscriptions: listening,
      keys,
      clock,
      commandMs,
      onError,
    }),
    presence: new RedisPresence({ subscriptions: listening, keys, onError }),
    mailbox: new RedisMailbox({
      commands,
      keys,
      limits: { ...defaultMailboxLimits, ...options.mailboxLimits },
      onError,
    }),
    identify: (node) => nodes.identify(node),
    start: async (onBackendEvent) => {
      listener = onBackendEvent
      open(commandsClient)
      links.start()
      await health.start()
    },
    stop: async () => {
      health.stop()
      await bus.close()
      links.stop()
      commandsClient.disconnect()
      listener = undefined
    },
    inspect: () => inspect(commands, address.topology, nodes),
    get malformed() {
      return bus.malformed
    },
  }
}
