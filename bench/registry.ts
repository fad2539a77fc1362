/**
 * The registry alone, in its own process: it claims, looks up and renews names through @peerage/redis as a node does,
 * but without connections. Commands from the runner: claim, lookup, renew.
 */
import { parseArgs } from 'node:util'
import { hashSecret, mintNodeId, systemClock, defaultTimes, type Lease } from '@peerage/core'
import { parseConnectionId, parsePeer, parseSecret } from '@peerage/protocol'
import type { ConnectionId, Peer, Secret } from '@peerage/protocol'
import { createRedisBackend } from '@peerage/redis'
import { answerCommands, type Numbers } from './lib/channel.js'
import { asNumber } from './loads/wire.js'

const NAME_DIGITS = 9
/** How many operations all nodes together run at the same time. */
const CONCURRENCY = 500
/** One process needs longer than the default 90 s for a million claims; in a cluster many nodes claim and renew. */
const NAME_TTL_MS = 900_000
/** The names that one node renews in a beat: a fifteenth of 50,000 connections. */
const RENEW_BATCH = 3333

const { values } = parseArgs({ options: { redis: { type: 'string' } } })
if (values.redis === undefined) throw new Error('--redis is missing')

const node = mintNodeId()
const backend = createRedisBackend({
  url: values.redis,
  times: { ...defaultTimes, nameTtlMs: NAME_TTL_MS },
  clock: systemClock,
  onError: (error, context) => process.stderr.write(`${context.stage}: ${String(error)}\n`),
})
const leases: Lease[] = []

const peerAt = (index: number): Peer =>
  parsed(parsePeer(`default/peer-${String(index).padStart(NAME_DIGITS, '0')}`))
const connectionAt = (index: number): ConnectionId => parsed(parseConnectionId(index.toString(36)))
const secret: Secret = parsed(parseSecret('a-secret-that-all-names-share'))

async function timed(count: number, one: (index: number) => Promise<void>): Promise<Numbers> {
  const cpuBefore = process.cpuUsage()
  const start = performance.now()
  let next = 0
  const some = async (): Promise<void> => {
    while (next < count) await one(next++)
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, some))
  const ms = performance.now() - start
  const { user, system } = process.cpuUsage(cpuBefore)
  return { perSecond: (count * 1000) / ms, cpuUs: (user + system) / count }
}

async function claim(count: number): Promise<Numbers> {
  const first = leases.length
  return timed(count, async (index) => {
    const peer = peerAt(first + index)
    const secretHash = hashSecret(peer, secret)
    const owner = { node, connection: connectionAt(first + index) }
    const claimed = await backend.registry.claim(peer, owner, { secretHash, policy: 'refuse' })
    if (!claimed.ok) throw new Error(`${peer} is held`)
    leases.push(claimed.lease)
  })
}

/** Looks names up in an order without locality. The step is prime to the count, so it visits each name once. */
const STEP = 7_368_787

async function lookup(count: number): Promise<Numbers> {
  return timed(count, async (index) => {
    const peer = peerAt((index * STEP) % leases.length)
    const lease = await backend.registry.lookup(peer)
    if (lease === undefined) throw new Error(`${peer} is absent`)
  })
}

async function renew(count: number): Promise<Numbers> {
  const cpuBefore = process.cpuUsage()
  const start = performance.now()
  let renewed = 0
  while (renewed < count) {
    const from = renewed % leases.length
    const batch = leases.slice(from, from + Math.min(RENEW_BATCH, count - renewed))
    const lost = await backend.registry.renew(batch)
    if (lost.length > 0) throw new Error(`lost ${lost.length} leases`)
    renewed += batch.length
  }
  const ms = performance.now() - start
  const { user, system } = process.cpuUsage(cpuBefore)
  return { perSecond: (renewed * 1000) / ms, cpuUs: (user + system) / renewed }
}

function parsed<T>(result: { ok: true; value: T } | { ok: false; problem: string }): T {
  if (result.ok) return result.value
  throw new Error(result.problem)
}

backend.identify(node)
await backend.start(() => {})
await backend.nodes.beat()
answerCommands('registry', {
  claim: (options) => claim(asNumber(options['count'])),
  lookup: (options) => lookup(asNumber(options['count'])),
  renew: (options) => renew(asNumber(options['count'])),
})
process.channel?.ref()
console.log(JSON.stringify({ msg: 'ready' }))
