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
  /** What became of each canary, where there is a bus that needs them. */
  onCanary?: NonNullable<RedisBackendOptions['onCanary']>
}

/** The store that the configuration asks for: Redis, or this process's own memory. Connects to nothing yet. */
export function createBackend(config: Config, options: BackendOptions): Backend {
  const redis = redisBackend(config, options)
  if (redis !== undefined) return redis
  const { times } = config
  return memoryCluster({ times, clock: options.clock, mailboxLimits: mailboxLimits(config) }).backend(options)
}

/** The Redis that is configured, if one is. Throws UnusableFile. */
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

/** What the rest of a node lends to its links. */
type LinksLoan = Pick<LinksOptions, 'clock' | 'undelivered' | 'onError' | 'onEvent'>

/** The same store, with direct connections to the other nodes where the configuration asks for them; else undefined. */
export function linkedBackend(config: Config, backend: Backend, loan: LinksLoan): LinkedBackend | undefined {
  const options = linksOptions(config, backend, loan)
  return options && withLinks(backend, options)
}

/** Undefined: no links. What cannot be linked is told to `onError` together with what an operator can do. */
export function linksOptions(
  { links }: Config,
  backend: Backend,
  { clock, undelivered, onError, onEvent }: LinksLoan,
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

/** What is wrong with the address that a node announces for its links, `host:port`, where others cannot connect to it. */
export function addressWarning({ links }: Config, address: string | null): string | undefined {
  const told = parseHostPort(address)?.host
  if (told === undefined || links.host === null || isLoopback(links.host) || !isLoopback(told))
    return undefined
  return `this node announces ${address}, which only this machine can reach: set links.advertise to an address that the other nodes reach. Where all nodes are on this machine, set links.host to 127.0.0.1`
}

/** Why a node cannot start, in words that name the port and its setting where the port for links cannot be had. */
export function startFailure(error: unknown, { links }: Config): unknown {
  const isPort = error instanceof Error && 'syscall' in error && PORT_CALLS.has(String(error.syscall))
  if (links.host === null || !isPort) return error
  return tcpUnavailable(error, { host: links.host, port: links.port, setting: 'links.port (--links-port)' })
}

/** What fails when a server cannot listen. An absent Redis is no failure of a start. */
const PORT_CALLS = new Set(['listen', 'getaddrinfo'])

const LINK_ADVICE =
  'this node cannot dial that one. If that one cannot dial this node either, their messages go through Redis. If that node is alive, check its firewall (links.port) and its links.advertise. peerage doctor tries each node'

/** As Redis sees this machine. Other stores need not know. */
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
