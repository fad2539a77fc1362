import { defaultTimes } from '@peerage/core'
import { startHaproxy, type Haproxy } from '@peerage/test-support/haproxy.js'
import { startMeddler, type Meddler } from '../cluster/meddler.js'
import { startNode, type Node } from '@peerage/test-support/node.js'
import { freePort } from '@peerage/test-support/ports.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'
import { startRedisCluster, type RedisCluster } from '@peerage/test-support/redis-cluster.js'
import { startSentinel, type SentinelSetup } from '@peerage/test-support/redis-sentinel.js'
import { startTcpProxy, type TcpProxy } from '@peerage/test-support/tcp-proxy.js'

export interface StageOptions {
  nodes: number
  seed: number
  topology?: 'standalone' | 'sentinel' | 'cluster'
  /** Of HAProxy: for faults that are about its times. */
  balancer?: Readonly<Record<string, string>>
  /** Added to the environment of the node in each seat. */
  env?: readonly Readonly<Record<string, string>>[]
  /** More flags of every node. */
  args?: readonly string[]
  /** The nodes link to each other, each by a door of its own. */
  links?: boolean
  /** What the doors do from the start, where they do not let everything through: see TcpProxy. */
  doors?: 'drop' | 'refuse'
}

/** One place for a node: its port stays, so that the balancer finds the next process there. */
export interface Seat {
  readonly index: number
  readonly port: number
  /** The node's own way to a standalone Redis, to be cut alone. */
  readonly redisLink: TcpProxy | undefined
  /** Where the other nodes link to this one, to be cut alone; it stays when the node is another. Undefined: no links. */
  readonly door: TcpProxy | undefined
  node: Node
  /** Starts a new process in this seat; the former one has ended. */
  restart(): Promise<void>
}

export type Store =
  | { kind: 'standalone'; redis: RedisServer; meddler: Meddler }
  | { kind: 'sentinel'; sentinel: SentinelSetup }
  | { kind: 'cluster'; cluster: RedisCluster }

/** Everything that runs: real processes, on loopback. */
export interface Stage {
  readonly store: Store
  readonly seats: readonly Seat[]
  readonly haproxy: Haproxy
  /** A way to the balancer that can go bad: some of the peers take it. */
  readonly peerLink: TcpProxy
  stop(): Promise<void>
}

export async function startStage(options: StageOptions): Promise<Stage> {
  const store = await startStore(options)
  const seats: Seat[] = []
  for (let index = 0; index < options.nodes; index++) seats.push(await takeSeat(store, options, index))
  const backends = seats.map(({ port }) => ({ host: '127.0.0.1', port }))
  const haproxy = await startHaproxy({ backends, env: options.balancer ?? {} })
  await Promise.all(seats.map(({ index }) => haproxy.until(index, 'UP')))
  const peerLink = await startTcpProxy({ target: haproxy, seed: options.seed + 100 })
  return {
    store,
    seats,
    haproxy,
    peerLink,
    stop: async () => {
      await peerLink.stop()
      await haproxy.stop()
      await Promise.all(seats.map((seat) => seat.node.stop()))
      const proxies = seats.flatMap(({ redisLink, door }) => [redisLink ?? [], door ?? []].flat())
      await Promise.all(proxies.map((proxy) => proxy.stop()))
      await stopStore(store)
    },
  }
}

/** The standalone Redis of this stage. */
export function redisOf(stage: Stage): RedisServer {
  if (stage.store.kind !== 'standalone') throw new Error(`this stage runs on ${stage.store.kind}`)
  return stage.store.redis
}

/** A seat's own way to Redis. */
export function linkOf(seat: Seat): TcpProxy {
  if (!seat.redisLink) throw new Error('only on a standalone Redis has a seat a way of its own')
  return seat.redisLink
}

/** What every link of the nodes leads through. */
export function doorsOf(stage: Stage): TcpProxy[] {
  const doors = stage.seats.flatMap(({ door }) => (door ? [door] : []))
  if (doors.length < stage.seats.length) throw new Error('the nodes of this stage have no links')
  return doors
}

async function startStore(options: StageOptions): Promise<Store> {
  switch (options.topology ?? 'standalone') {
    case 'standalone': {
      const redis = await startRedis()
      return { kind: 'standalone', redis, meddler: await startMeddler(redis.port) }
    }
    case 'sentinel':
      return { kind: 'sentinel', sentinel: await startSentinel() }
    case 'cluster':
      return { kind: 'cluster', cluster: await startRedisCluster() }
  }
}

async function stopStore(store: Store): Promise<void> {
  switch (store.kind) {
    case 'standalone':
      await store.meddler.stop()
      return store.redis.stop()
    case 'sentinel':
      return store.sentinel.stop()
    case 'cluster':
      return store.cluster.stop()
  }
}

async function takeSeat(store: Store, options: StageOptions, index: number): Promise<Seat> {
  const target =
    store.kind === 'standalone' ? { host: '127.0.0.1', port: portOf(store.meddler.url) } : undefined
  const redisLink = target && (await startTcpProxy({ target, seed: options.seed + index }))
  const port = await freePort()
  const links = options.links ? await linkFlags(options, index) : undefined
  const redisUrl = redisLink ? `redis://${redisLink.host}:${redisLink.port}` : urlOf(store)
  const start = (): Promise<Node> =>
    startNode({
      redisUrl,
      // What is measured here is measured with the times of an operator who sets none.
      beatMs: defaultTimes.beatMs,
      args: [
        '--port',
        String(port),
        '--use-as-p2p-server',
        'false',
        '--admin-port',
        '0',
        ...(links?.flags ?? []),
        ...(options.args ?? []),
      ],
      env: options.env?.[index] ?? {},
    })
  const seat: Seat = {
    index,
    port,
    redisLink,
    door: links?.door,
    node: await start(),
    restart: async () => {
      await seat.node.stop()
      seat.node = await start()
    },
  }
  return seat
}

/** A door in front of the port at which a node takes links, and what makes the node use both. */
async function linkFlags(
  { seed, doors }: StageOptions,
  index: number,
): Promise<{ door: TcpProxy; flags: string[] }> {
  const port = await freePort()
  const door = await startTcpProxy({ target: { host: '127.0.0.1', port }, seed: seed + 200 + index })
  if (doors === 'drop') door.drop()
  if (doors === 'refuse') door.refuse()
  const flags = [
    '--links-host=127.0.0.1',
    `--links-port=${port}`,
    `--links-advertise=${door.host}:${door.port}`,
  ]
  return { door, flags }
}

function urlOf(store: Store): string {
  switch (store.kind) {
    case 'standalone':
      return store.redis.url
    case 'sentinel':
      return store.sentinel.url
    case 'cluster':
      return store.cluster.url
  }
}

const portOf = (url: string): number => Number(new URL(url).port)
