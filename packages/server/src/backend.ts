import type { Backend, Clock, OnError } from '@peerage/core'
import { memoryCluster } from '@peerage/core/memory'
import { withLinks, type LinkedBackend, type LinksOptions } from '@peerage/node-links'
import { parseHostPort } from '@peerage/protocol'
import { createRedisBackend, type RedisBackend, type RedisBackendOptions } from '@peerage/redis'
import { isLoopback } from './config/hosts.js'
import type { Config } from './config/schema.js'
import { tcpUnavailable } from './http/listen.js'
import type { TlsFiles, TlsTexts } from './config/tls-files.js'

interface BackendOptions {
  clock: Clock
  files: TlsFiles
  onError: OnError
  /** Called with the outcome of each canary, if the bus needs canaries. */
  onCanary?: NonNullable<RedisBackendOptions['onCanary']>
}

/** Creates the store of the configuration: Redis, or the memory of this process. It does not connect yet. */
export function createBackend(config: Config, options: BackendOptions): Backend {
  const redis = redisBackend(config, options)
  if (redis !== undefined) return redis
  const { times } = config
  return memoryCluster({ times, clock: options.clock, mailboxLimits: mailboxLimits(config) }).backend(options)
}

/** Creates the Redis backend, or undefined if none is configured. Throws UnusableFile. */
export function redisBackend(config: Config, options: BackendOptions): RedisBackend | undefined {
  const { url, prefix, username, password } = config.redis
  if (url === null) return undefined
  const tls = tlsOf(config.redis, options.files, (texts) => backend.renewTls(texts))
  const backend = createRedisBackend({
    url,
    prefix,
    times: config.times,
    ...options,
    mailboxLimits: mailboxLimits(config),
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
  })
  return backend
}

/** What links need from the rest of the node. */
type LinksContext = Pick<LinksOptions, 'clock' | 'undelivered' | 'onError' | 'onEvent'>

/** Adds direct connections to the other nodes to a store. Undefined if the configuration has no links. */
export function linkedBackend(
  config: Config,
  backend: Backend,
  context: LinksContext,
): LinkedBackend | undefined {
  const options = linksOptions(config, backend, context)
  return options && withLinks(backend, options)
}

/** Undefined if the configuration has no links. `onError` gets a failed link together with advice for the operator. */
export function linksOptions(
  { links }: Config,
  backend: Backend,
  { clock, undelivered, onError, onEvent }: LinksContext,
): LinksOptions | undefined {
  const { host, advertise, ...rest } = links
  if (host === null) return undefined
  return {
    ...rest,
    host,
    advertise: parseHostPort(advertise) ?? null,
    clock,
    localAddress: () => localAddressOf(backend),
    undelivered,
    onError: (error, context) =>
      onError(error, context.stage === 'link' ? { ...context, advice: LINK_ADVICE } : context),
    onEvent,
  }
}

/** A warning if other nodes cannot connect to the address (`host:port`) that a node announces for its links. */
export function addressWarning({ links }: Config, address: string | null): string | undefined {
  const announcedHost = parseHostPort(address)?.host
  if (
    announcedHost === undefined ||
    links.host === null ||
    isLoopback(links.host) ||
    !isLoopback(announcedHost)
  )
    return undefined
  return `this node announces ${address}, which only this machine can reach: set links.advertise to an address that the other nodes can reach. If all nodes are on this machine, set links.host to 127.0.0.1`
}

/** The error of a failed start. If the port for links could not be opened, the error names the port and its setting. */
export function startFailure(error: unknown, { links }: Config): unknown {
  const isPort = error instanceof Error && 'syscall' in error && PORT_CALLS.has(String(error.syscall))
  if (links.host === null || !isPort) return error
  return tcpUnavailable(error, { host: links.host, port: links.port, setting: 'links.port (--links-port)' })
}

/** The system calls that fail when a server cannot listen. An absent Redis does not make a start fail. */
const PORT_CALLS = new Set(['listen', 'getaddrinfo'])

const LINK_ADVICE =
  'this node cannot connect to the other node. If the other node cannot connect to this one either, their messages go through Redis. If the other node is alive, check its firewall (links.port) and its links.advertise. peerage doctor tries each node'

/** The address of this machine as Redis sees it. Undefined if the store does not know it. */
function localAddressOf(backend: Backend): string | undefined {
  if (!('localAddress' in backend) || typeof backend.localAddress !== 'function') return undefined
  const address: unknown = backend.localAddress()
  return typeof address === 'string' ? address : undefined
}

function mailboxLimits({ peerjs }: Config): { messages: number; length: number; expireMs: number } {
  return { messages: peerjs.queueMessages, length: peerjs.queueBytes, expireMs: peerjs.expireMs }
}

function tlsOf(
  { ca, cert, key }: Config['redis'],
  files: TlsFiles,
  use: (texts: TlsTexts) => void,
): TlsTexts | undefined {
  return ca === null && cert === null ? undefined : files.add('redis', { ca, cert, key }, use)
}
