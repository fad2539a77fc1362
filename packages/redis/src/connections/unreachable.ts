import type { Socket } from 'node:net'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'
import { wordsOf } from './errors.js'
import type { Endpoint, RedisAddress } from './url.js'

interface Target {
  address: RedisAddress
  tls: ConnectionOptions
  deadlineMs: number
}

/**
 * When ioredis cannot connect to a Sentinel or to a server of a Cluster, it only says that the connection is closed,
 * and drops the reason. So we connect to each of them once more, and add the first reason to the error. If one of
 * them can be reached, or none answers in time, the error stays unchanged.
 */
export async function withReason(failure: unknown, target: Target): Promise<unknown> {
  const words = wordsWithoutReason(failure)
  if (words === undefined) return failure
  const reasons = await Promise.all(asked(target.address).map((endpoint) => whyUnreachable(endpoint, target)))
  const [reason] = reasons
  if (reason === undefined || reasons.includes(undefined)) return failure
  return new Error(`${words} ${reason}`, { cause: failure })
}

const CLOSED = 'Connection is closed.'

function wordsWithoutReason(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  if (error.message.endsWith(` ${CLOSED}`)) return error.message.slice(0, -CLOSED.length - 1)
  const last = 'lastNodeError' in error ? error.lastNodeError : undefined
  return last instanceof Error && last.message === CLOSED ? error.message : undefined
}

function asked(address: RedisAddress): readonly Endpoint[] {
  switch (address.topology) {
    case 'standalone':
      return [address]
    case 'sentinel':
      return address.sentinels
    case 'cluster':
      return address.nodes
  }
}

function whyUnreachable(
  { host, port }: Endpoint,
  { address, tls, deadlineMs }: Target,
): Promise<string | undefined> {
  const [socket, opened]: [Socket, string] = address.tls
    ? [connectTls({ ...tls, host, port }), 'secureConnect']
    : [connectTcp({ host, port }), 'connect']
  return new Promise((resolve) => {
    const end = (reason?: string): void => {
      socket.destroy()
      resolve(reason)
    }
    socket.once(opened, () => end())
    socket.on('error', (error) => end(wordsOf(error)))
    socket.setTimeout(deadlineMs, () => end())
  })
}
