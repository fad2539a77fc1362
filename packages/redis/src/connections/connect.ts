import type { Clock, Timer } from '@peerage/core'
import { afterEvent } from '@peerage/core'
import { Cluster, Redis } from 'ioredis'
import type { ClusterOptions, RedisOptions } from 'ioredis'
import { withAdvice, withoutDatabase } from './errors.js'
import { withReason } from './unreachable.js'
import type { RedisAddress } from './url.js'

/** One connection, or on a Cluster one for each shard, with the same commands. */
export type Client = Redis | Cluster

/** PEM texts. `cert` and `key` are for a Redis that asks for a client certificate. */
export interface RedisTls {
  ca?: string
  cert?: string
  key?: string
  servername?: string
}

export interface ConnectOptions {
  address: RedisAddress
  commandMs: number
  clock: Clock
  /** For `rediss`. It is read for each connection, so a change takes effect with the next one. */
  tls: RedisTls
  onError: (error: unknown) => void
}

/**
 * Delay between attempts to connect. It grows, and has jitter, so that the nodes of a cluster do not connect all at
 * once.
 */
const RETRY_FIRST_MS = 50
const RETRY_MOST_MS = 500
/** How long a connection to a replica is kept before the next look for the master. */
const READ_ONLY_MS = 1_000
/** How long a socket that we end may take to close. After that, the other side is gone or cut off. */
const DISCONNECT_MS = 100
/** Added to the deadline of a command, so that the command fails first. */
const SOCKET_MARGIN_MS = 200
/** How often a connection is checked while it owes an answer. */
const POLL_MS = 200
const SLOTS_REFRESH_MS = 1_000
const SENTINEL_MS = 1_000

export function clientForCommands(options: ConnectOptions): Client {
  const { address } = options
  if (address.topology !== 'cluster')
    return inDatabase(listenTo(createRedis(address, options, 'commands'), options), address)
  const common = commonOptions(options, 'commands')
  return listenTo(new Cluster(address.nodes, clusterOptions(common)), options)
}

/** For the bus, which batches by itself. So this connection sends at once. */
export function clientForPublishing(options: ConnectOptions, master?: string): Redis {
  return clientForServer(options, 'publisher', master)
}

/** For subscriptions. We renew them ourselves. */
export function clientForSubscribing(options: ConnectOptions, master?: string): Redis {
  return clientForServer(options, 'subscriber', master)
}

/** One connection: to the single server, or on a Cluster to one master, `host:port`. */
function clientForServer(options: ConnectOptions, role: string, master = ''): Redis {
  const { address } = options
  if (address.topology !== 'cluster') return listenTo(createRedis(address, options, role), options)
  const [, host = '', port = ''] = /^(.*):(\d+)$/u.exec(master) ?? []
  const common = { ...commonOptions(options, role), ...connection() }
  return listenTo(new Redis({ ...common, host, port: Number(port) }), options)
}

/**
 * Begins to connect, and keeps trying until the returned function is called. A failure emits an `error` event with
 * its reason. ioredis gives up for good when Sentinel announces a failover at the very moment when it asks for the
 * master. So when a connection ends that is still wanted, we connect again.
 */
export function open(client: Client, clock: Clock): () => void {
  let wanted = true
  let timer: Timer | undefined
  const connect = (): void => {
    client.connect().catch(() => undefined)
  }
  client.on('end', () => {
    if (wanted) timer = clock.after(RETRY_FIRST_MS, connect)
  })
  connect()
  return () => {
    wanted = false
    timer?.cancel()
    client.disconnect()
  }
}

/** Combines everything that is written before the process gets to its next event into one write. */
export function writeTogether({ stream }: Redis): void {
  if (stream.writableCorked > 0) return
  stream.cork()
  afterEvent(() => stream.uncork())
}

/**
 * The local address of a connection to Redis: on a Cluster, of any that is ready. Undefined: none is ready, or it is
 * a Unix socket.
 */
export function localAddressOf(client: Client): string | undefined {
  const servers = client instanceof Cluster ? client.nodes() : [client]
  const address = servers.find(({ status }) => status === 'ready')?.stream.localAddress
  return address?.replace(MAPPED_IPV4_PATTERN, '')
}

/** RFC 4291, 2.5.5.2: an IPv4 address on a dual-stack socket, as Node writes it. */
const MAPPED_IPV4_PATTERN = /^::ffff:(?=\d+\.)/iu

/** Ends a connection whose SELECT failed before it is ready: its commands would run in another database. */
function inDatabase(client: Redis, address: RedisAddress): Redis {
  client.on('error', (error: unknown) => {
    if (withoutDatabase(error, address) !== undefined) client.stream.destroy()
  })
  return client
}

function listenTo<C extends Client>(client: C, options: ConnectOptions): C {
  // Without a listener ioredis prints the error itself.
  client.on('error', (error: unknown) => void report(error, options))
  const watch = (one: Redis): void => endSilent(one, options.commandMs + SOCKET_MARGIN_MS, options.clock)
  if (client instanceof Redis) watch(client)
  else client.on('+node', watch)
  return client
}

/**
 * Ends a connection when Redis has owed an answer for `silentMs`. Otherwise a frozen server or a cut link is never
 * noticed. We count polls rather than elapsed time, because after a pause of this process the replies are already
 * waiting in the socket. A timer (ioredis's `socketTimeout`) would end that healthy connection before they are read.
 */
function endSilent(client: Redis, silentMs: number, clock: Clock): void {
  client.on('connect', () => {
    const { stream } = client
    let read = 0
    let silent = 0
    const poll = (): void => {
      if (stream.destroyed || stream !== client.stream) return
      const isWaiting = client.commandQueue.length > 0 && stream.bytesRead === read
      silent = isWaiting ? silent + 1 : 0
      read = stream.bytesRead
      // The first poll may come right after the command was sent.
      if ((silent - 1) * POLL_MS < silentMs) clock.after(POLL_MS, poll)
      else stream.destroy(new Error(`Redis owed an answer and sent nothing for ${silentMs} ms`))
    }
    poll()
  })
}

async function report(error: unknown, options: ConnectOptions): Promise<void> {
  const { address, commandMs, onError } = options
  if (isFollowUp(error)) return
  const unfit = withoutDatabase(error, address)
  if (unfit !== undefined) return onError(unfit)
  const isPlain = address.topology === 'standalone'
  const reason = isPlain
    ? error
    : await withReason(error, { address, tls: options.tls, deadlineMs: commandMs })
  onError(withAdvice(reason, address))
}

/** ioredis continues its handshake on a connection that has ended. The reason has already been reported. */
function isFollowUp(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("Stream isn't writeable")
}

function createRedis(
  address: Exclude<RedisAddress, { topology: 'cluster' }>,
  options: ConnectOptions,
  role: string,
): Redis {
  const shared = {
    ...commonOptions(options, role),
    ...connection(),
    // Pub/sub has no databases.
    ...(role === 'commands' ? { db: address.database } : {}),
  }
  switch (address.topology) {
    case 'standalone':
      return new Redis({ ...shared, host: address.host, port: address.port })
    case 'sentinel':
      return new Redis({
        ...shared,
        sentinels: address.sentinels,
        name: address.name,
        // Without this option, a failover while we wait for the old master is never noticed.
        failoverDetector: true,
        sentinelCommandTimeout: SENTINEL_MS,
        sentinelRetryStrategy: retryDelay,
        enableTLSForSentinelMode: address.tls,
        ...(address.tls ? { sentinelTLS: options.tls } : {}),
      })
  }
}

interface Lifetime {
  retryStrategy: (times: number) => number
  enableOfflineQueue: boolean
  lazyConnect: boolean
}

function connection(): Lifetime {
  return { retryStrategy: retryDelay, enableOfflineQueue: false, lazyConnect: true }
}

function clusterOptions(redisOptions: Common) {
  return {
    redisOptions,
    // ioredis owns these connections, so `writeTogether` cannot be used for them.
    enableAutoPipelining: true,
    enableOfflineQueue: false,
    lazyConnect: true,
    clusterRetryStrategy: retryDelay,
    slotsRefreshTimeout: SLOTS_REFRESH_MS,
    // Moved slots are found by polling, not by failed commands.
    slotsRefreshInterval: 2 * SLOTS_REFRESH_MS,
  } satisfies ClusterOptions
}

type Common = ReturnType<typeof commonOptions>

function commonOptions(options: ConnectOptions, role: string) {
  const { address, commandMs } = options
  return {
    connectionName: `peerage-${role}`,
    ...(address.username === undefined ? {} : { username: address.username }),
    ...(address.password === undefined ? {} : { password: address.password }),
    ...(address.tls ? { tls: options.tls } : {}),
    connectTimeout: commandMs + SOCKET_MARGIN_MS,
    disconnectTimeout: DISCONNECT_MS,
    // Commands that were pending when a connection broke have failed, and no caller waits for them.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    reconnectOnError: reconnectOnReadOnly(options.clock),
  } satisfies RedisOptions
}

/**
 * For `reconnectOnError` of one client. A master that refuses a write has become a replica, so we connect again, to the
 * current master. Without a limit, a node whose URL leads to a replica would connect some 25 times a second.
 */
export function reconnectOnReadOnly(clock: Clock): (error: Error) => boolean {
  let nextAt = Number.NEGATIVE_INFINITY
  return ({ message }) => {
    const now = clock.monotonic()
    if (!message.startsWith('READONLY') || now < nextAt) return false
    nextAt = now + READ_ONLY_MS
    return true
  }
}

function retryDelay(times: number): number {
  const delay = Math.min(RETRY_FIRST_MS * 2 ** Math.min(times - 1, 10), RETRY_MOST_MS)
  return delay / 2 + (Math.random() * delay) / 2
}
