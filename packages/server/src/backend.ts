import type { Backend, Clock, OnError } from '@peerage/core'
import { memoryCluster } from '@peerage/core/memory'
import type { Config } from './config.js'

/** The store that the configuration asks for: Redis, or this process's own memory. Connects to nothing yet. */
export function createBackend(config: Config, parts: { clock: Clock; onError: OnError }): Backend {
  const { peerjs, redis, times } = config
  const mailboxLimits = {
    messages: peerjs.queueMessages,
    length: peerjs.queueBytes,
    expireMs: peerjs.expireMs,
  }
  if (redis.url === null) return memoryCluster({ times, clock: parts.clock, mailboxLimits }).backend(parts)
  throw new Error('redis is on its way')
}
