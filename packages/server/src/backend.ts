import { readFileSync } from 'node:fs'
import type { Backend, Clock, OnError } from '@peerage/core'
import { memoryCluster } from '@peerage/core/memory'
import { createRedisBackend, type RedisBackend, type RedisBackendOptions } from '@peerage/redis'
import { reasonOf } from './config-load.js'
import type { Config } from './config.js'
import { UnusableFile } from './own-server.js'

export interface BackendParts {
  clock: Clock
  onError: OnError
  /** What became of each canary, where there is a bus that needs them. */
  onCanary?: NonNullable<RedisBackendOptions['onCanary']>
}

/** The store that the configuration asks for: Redis, or this process's own memory. Connects to nothing yet. */
export function createBackend(config: Config, parts: BackendParts): Backend {
  const redis = redisBackend(config, parts)
  if (redis !== undefined) return redis
  const { times } = config
  return memoryCluster({ times, clock: parts.clock, mailboxLimits: mailboxLimits(config) }).backend(parts)
}

/** The Redis that is configured, if one is. Throws UnusableFile. */
export function redisBackend(config: Config, parts: BackendParts): RedisBackend | undefined {
  const { url, prefix, username, password } = config.redis
  if (url === null) return undefined
  const tls = readTls(config.redis)
  return createRedisBackend({
    url,
    prefix,
    times: config.times,
    ...parts,
    mailboxLimits: mailboxLimits(config),
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
  })
}

function mailboxLimits({ peerjs }: Config): { messages: number; length: number; expireMs: number } {
  return { messages: peerjs.queueMessages, length: peerjs.queueBytes, expireMs: peerjs.expireMs }
}

function readTls(redis: Config['redis']): { ca?: string; cert?: string; key?: string } | undefined {
  const files = Object.entries({ ca: redis.ca, cert: redis.cert, key: redis.key }).flatMap(([name, path]) =>
    path === null ? [] : [[name, readPem(`redis.${name}`, path)] as const],
  )
  return files.length === 0 ? undefined : Object.fromEntries(files)
}

function readPem(setting: string, path: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new UnusableFile(`${setting} cannot be read: ${reasonOf(error)}`)
  }
  if (text.includes('-----BEGIN ')) return text
  throw new UnusableFile(`${setting} (${path}) is not a PEM file`)
}
