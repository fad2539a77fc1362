import type { Clock, Timer } from '@peerage/core'
import { afterEvent } from '@peerage/core'
import { Cluster, Redis } from 'ioredis'
import type { ClusterOptions, RedisOptions } from 'ioredis'
import { withAdvice, withoutDatabase } from './errors.js'
import { withReason } from './unreachable.js'
import type { RedisAddress } from './url.js'

/** One connection, or on a Cluster one per shard behind the same commands. */
export type Client = Redis | Cluster

/** PEM texts; the certificate and key where Redis asks for one of ours. */
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
  /** For `rediss`. It is read at each connection, so what changes in it holds for the next one. */
  tls: RedisTls
  onError: (error: unknown) => void
}

/** Attempts to connect: soon, then ever less often. With jitter, so that a cluster of nodes does not come at once. */
const RETRY_FIRST_MS = 50
const RETRY_MOST_MS = 500
/** A socket that we end and that does not close: the other side is gone, or cut off. */
const DISCONNECT_MS = 100
/** Beyond the deadline of a command, so that the command says it first. */
const SOCKET_MARGIN_MS = 200
/** How often a connection is looked at that owes an answer. */
const LOOK_MS = 200
const SLOTS_REFRESH_MS = 1_000
const SENTINEL_MS = 1_000

export function clientForCommands(options: ConnectOptions): Client {
  const { address } = options
  if (address.topology !== 'cluster')
    return inDatabase(listenTo(createRedis(address, options, 'commands'), options), address)
  const common = commonOptions(options, 'commands')
  return listenTo(new Cluster(address.nodes, clusterOptions(common)), options)
}

/** For the bus: it packs what it sends by itself, and what goes out, goes at once. */
export function clientForPublishing(options: ConnectOptions, master?: string): Redis {
  return clientForServer(options, 'publisher', master)
}

/** For subscriptions: what it is subscribed to is ours to renew. */
export function clientForSubscribing(options: ConnectOptions, master?: string): Redis {
  return clientForServer(options, 'subscriber', master)
}

/** One connection: to the one server there is, or on a Cluster to one master, `host:port`. */
function clientForServer(options: ConnectOptions, role: string, master = ''): Redis {
  const { address } = options
  if (address.topology !== 'cluster') return listenTo(createRedis(address, options, role), options)
  const [, host = '', port = ''] = /^(.*):(\d+)$/u.exec(master) ?? []
  const common = { ...commonOptions(options, role), ...connection() }
  return listenTo(new Redis({ ...common, host, port: Number(port) }), options)
}

/**
 * Begins to connect, and goes on trying until the returned function is called. The reason of a failure comes as an
 * `error` event. ioredis gives up for good when Sentinel announces a failover in the very moment in which it asks
 * for the master: so the end of a connection that is still wanted is a new beginning.
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

/** All that is written before the process gets to its next event is one write. */
export function writeTogether({ stream }: Redis): void {
  if (stream.writableCorked > 0) return
  stream.cork()
  afterEvent(() => stream.uncork())
}

/** Of a connection to Redis: on a Cluster, of any that stands. Undefined: none does, or it is a Unix socket. */
export function localAddressOf(client: Client): string | undefined {
  const servers = client instanceof Cluster ? client.nodes() : [client]
  const address = servers.find(({ status }) => status === 'ready')?.stream.localAddress
  return address?.replace(MAPPED_IPV4_PATTERN, '')
}

/** RFC 4291, 2.5.5.2: an IPv4 address on a socket for both, as Node writes it. */
const MAPPED_IPV4_PATTERN = /^::ffff:(?=\d+\.)/iu

/** Ends a connection that is not in its database, before it is ready: its commands would go to another one. */
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
 * Ends a connection on which Redis is silent for so long although it was asked: a frozen server or a cut link is never
 * noticed otherwise. Counted are looks, not time: a process that was held up finds its answers in the socket, where a
 * timer (ioredis's `socketTimeout`) ends a healthy connection before they are read.
 */
function endSilent(client: Redis, silentMs: number, clock: Clock): void {
  client.on('connect', () => {
    const { stream } = client
    let read = 0
    let silent = 0
    const look = (): void => {
      if (stream.destroyed || stream !== client.stream) return
      const isWaiting = client.commandQueue.length > 0 && stream.bytesRead === read
      silent = isWaiting ? silent + 1 : 0
      read = stream.bytesRead
      // The first look may come right after the question.
      if ((silent - 1) * LOOK_MS < silentMs) clock.after(LOOK_MS, look)
      else stream.destroy(new Error(`Redis was asked, and silent for ${silentMs} ms`))
    }
    look()
  })
}

async function report(error: unknown, options: ConnectOptions): Promise<void> {
  const { address, commandMs, onError } = options
  if (isEcho(error)) return
  const unfit = withoutDatabase(error, address)
  if (unfit !== undefined) return onError(unfit)
  const isPlain = address.topology === 'standalone'
  const reason = isPlain
    ? error
    : await withReason(error, { address, tls: options.tls, deadlineMs: commandMs })
  onError(withAdvice(reason, address))
}

/** ioredis goes on with its handshake on a connection that has ended: why it has, was said before. */
function isEcho(error: unknown): boolean {
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
    // What is published and subscribed to knows no databases.
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
        // Without it, a failover while we wait for the old master is never noticed.
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
    // Its connections are not ours, so that `writeTogether` cannot have them.
    enableAutoPipelining: true,
    enableOfflineQueue: false,
    lazyConnect: true,
    clusterRetryStrategy: retryDelay,
    slotsRefreshTimeout: SLOTS_REFRESH_MS,
    // What moved is found by asking, not by failing.
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
    // What was on its way when a connection broke has failed: nobody waits for it any more.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    // A master that has become a replica: connect anew, to whoever is the master now.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  } satisfies RedisOptions
}

function retryDelay(times: number): number {
  const delay = Math.min(RETRY_FIRST_MS * 2 ** Math.min(times - 1, 10), RETRY_MOST_MS)
  return delay / 2 + (Math.random() * delay) / 2
}
