import { setTimeout as delay } from 'node:timers/promises'
import type { BackendEvent, Envelope, Times } from '@peerage/core'
import { RegistryUnavailable, defaultTimes, systemClock } from '@peerage/core'
import type { ContractNode } from '@peerage/test-support/testing/core.js'
import { newConnectionId, newNodeId, newPeer } from '@peerage/test-support/testing/core.js'
import type { RedisBackend, RedisBackendOptions } from '@peerage/redis'
import { createRedisBackend } from '@peerage/redis'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { RedisServer } from '@peerage/test-support/redis.js'
import { startRedis } from '@peerage/test-support/redis.js'
import type { Deployment, Topology, TopologyOptions } from '@peerage/test-support/redis-topologies.js'
import { startTopology } from '@peerage/test-support/redis-topologies.js'

/** A node with its own backend that beats and listens to its inbox. */
export interface RigNode extends ContractNode {
  backend: RedisBackend
  received: Envelope[]
  /** The result of each beat. */
  beats: string[]
  /** How many canaries it has received. */
  heard(): number
  stop(): Promise<void>
}

/** Short beats, so that a test need not wait, with the default leases. */
export const rigTimes: Times = { ...defaultTimes, beatMs: 200 }

export interface RigOptions extends Partial<RedisBackendOptions> {
  /** False: the node beats only once. */
  beating?: boolean
}

export async function startRigNode(url: string, options: RigOptions = {}): Promise<RigNode> {
  const events: BackendEvent[] = []
  const errors: RigNode['errors'] = []
  const received: Envelope[] = []
  const beats: string[] = []
  let heard = 0
  const backend = createRedisBackend({
    url,
    times: rigTimes,
    clock: systemClock,
    onError: (error, context) => errors.push({ error, stage: context.stage }),
    onCanary: (canary) => {
      if (canary.heard) heard++
    },
    ...options,
  })
  const node = newNodeId()
  backend.identify(node)
  await backend.start((event) => events.push(event))
  const stopping = new AbortController()
  const beatMs = options.times?.beatMs ?? rigTimes.beatMs
  let listening = false
  const beat = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        beats.push(await backend.nodes.beat())
        if (!listening) {
          await backend.bus.subscribe(node, (envelope) => received.push(envelope))
          listening = true
        }
      } catch (error) {
        if (!(error instanceof RegistryUnavailable)) throw error
        beats.push('unavailable')
      }
      await delay(beatMs, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }
  if (options.beating === false) await backend.nodes.beat()
  const beating = options.beating === false ? Promise.resolve() : beat()
  return {
    node,
    backend,
    events,
    errors,
    received,
    beats,
    heard: () => heard,
    stop: async () => {
      stopping.abort()
      await beating
      await backend.stop()
    },
  }
}

/** Waits until `probe` is true, long enough for a busy machine. Returns how long it took, in milliseconds. */
export async function eventually(
  what: string,
  probe: () => Promise<boolean> | boolean,
  deadlineMs = 20_000,
): Promise<number> {
  const start = performance.now()
  for (;;) {
    if (await probe()) return performance.now() - start
    if (performance.now() - start > deadlineMs) throw new Error(`${what}: not within ${deadlineMs} ms`)
    await delay(10)
  }
}

/** True when the promise resolves; false when the registry was unavailable. */
export async function succeeds(action: Promise<unknown>): Promise<boolean> {
  try {
    await action
    return true
  } catch (error) {
    if (error instanceof RegistryUnavailable) return false
    throw error
  }
}

export function isHealthy(node: RigNode): boolean {
  const last = node.events.filter((event) => event.type === 'health').at(-1)
  return last?.healthy ?? false
}

export function ailments(node: RigNode): string[] {
  return node.events.flatMap((event) => (event.type === 'health' && !event.healthy ? [event.why] : []))
}

export function doubts(node: RigNode): string[] {
  return node.events.flatMap((event) => (event.type === 'doubt' ? [event.why] : []))
}

/** An envelope that a test can recognize by its number. */
export function numbered(epoch: number): Extract<Envelope, { type: 'superseded' }> {
  return { type: 'superseded', peer: somebody, connection: someConnection, epoch }
}

const somebody = newPeer()
const someConnection = newConnectionId()
let marks = 0

/** Whether an envelope from one node reaches another now. */
export async function reaches(from: RigNode, to: RigNode): Promise<boolean> {
  const mark = numbered(++marks)
  if ((await from.backend.bus.publish(to.node, mark)) !== 'sent') return false
  // We count polls rather than milliseconds, because after a pause of this process the envelope may already be there.
  for (let poll = 0; poll < 35; poll++) {
    if (to.received.some((envelope) => envelope.type === 'superseded' && envelope.epoch === mark.epoch))
      return true
    await delay(5)
  }
  return false
}

/** Starts nodes that stop after their test. A test with an unhandled rejection fails. */
interface Rigs {
  rig(url?: string, options?: RigOptions): Promise<RigNode>
  /** These run after the test, in reverse order. */
  cleanups: (() => Promise<void>)[]
}

/** For tests that each get their own Redis server. */
export interface Bench extends Rigs {
  readonly server: RedisServer
}

/** For tests that share one deployment, which is flushed after each test. */
export interface TopologyBench extends Rigs {
  readonly redis: Deployment
}

export function useRedis(): Bench {
  let server: RedisServer | undefined
  const running = (): RedisServer => server ?? notYet()
  const rigs = useRigs(
    () => running().url,
    async () => {
      const started = await startRedis()
      server = started
      return () => started.stop()
    },
  )
  return {
    ...rigs,
    get server() {
      return running()
    },
  }
}

export function useTopology(topology: Topology, options: TopologyOptions = {}): TopologyBench {
  let redis: Deployment | undefined
  const running = (): Deployment => redis ?? notYet()
  beforeAll(async () => {
    redis = await startTopology(topology, options)
  })
  afterAll(() => redis?.stop())
  const rigs = useRigs(
    () => running().url,
    () =>
      Promise.resolve(async () => {
        // A test that failed may have left the servers paused. It must not take the following tests with it.
        await running().resume()
        await running().flush()
      }),
  )
  return {
    ...rigs,
    get redis() {
      return running()
    },
  }
}

function notYet(): never {
  throw new Error('Redis runs only during a test')
}

/** `begin` runs before each test. The function that it returns runs after the test. */
function useRigs(url: () => string, begin: () => Promise<() => Promise<void>>): Rigs {
  const cleanups: (() => Promise<void>)[] = []
  const unhandled: unknown[] = []
  const onUnhandled = (reason: unknown): void => void unhandled.push(reason)
  beforeEach(async () => {
    process.on('unhandledRejection', onUnhandled)
    cleanups.push(await begin())
  })
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
    process.off('unhandledRejection', onUnhandled)
    expect(unhandled.splice(0)).toEqual([])
  })
  return {
    rig: async (own = url(), options = {}) => {
      const node = await startRigNode(own, options)
      cleanups.push(() => node.stop())
      return node
    },
    cleanups,
  }
}

export async function becomeHealthy(...nodes: RigNode[]): Promise<void> {
  // Before its first beat a node does not know the set of nodes and refuses claims.
  for (const node of nodes)
    await eventually('the node is healthy', () => isHealthy(node) && node.backend.nodes.view().createdAt > 0)
}

/** The most channels on which a node publishes canaries: one for each of three masters, and its inbox. */
const MAX_CANARY_CHANNELS = 4

/** Waits until all subscriptions work. A node may be healthy earlier, before its first beat is over. */
export async function settle(...nodes: RigNode[]): Promise<void> {
  for (const node of nodes) {
    await eventually('its canaries arrive', () => node.heard() >= MAX_CANARY_CHANNELS)
    await eventually('its inbox works', () => reaches(node, node))
  }
}
