import { defaultTimes } from '@peerage/core'
import { startHaproxy, type Haproxy } from '@peerage/test-support/haproxy.js'
import { startMeddler, type Meddler } from '../cluster/meddler.js'
import { startNode, type Node } from '@peerage/test-support/node.js'
import { freePort } from '@peerage/test-support/ports.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'
import { startRedisCluster, type RedisCluster } from '@peerage/test-support/redis-cluster.js'
import { startSentinel, type SentinelSetup } from '@peerage/test-support/redis-sentinel.js'
import { startTcpProxy, type TcpProxy } from '@peerage/test-support/tcp-proxy.js'

export interface TestbedOptions {
  nodes: number
  seed: number
  topology?: 'standalone' | 'sentinel' | 'cluster'
  /** Variables of HAProxy, for faults that are about its timeouts. */
  balancer?: Readonly<Record<string, string>>
  /** Added to the environment of the node in each member. */
  env?: readonly Readonly<Record<string, string>>[]
  /** Additional flags of every node. */
  args?: readonly string[]
  /** Whether the nodes link to each other, each through its own proxy. */
  links?: boolean
  /** What these proxies do from the start, if they do not pass everything; see TcpProxy. */
  linkProxies?: 'drop' | 'refuse'
}

/** One node of the cluster. Its port stays after a restart, so that the balancer finds the next process there. */
export interface Member {
  readonly index: number
  readonly port: number
  /** The proxy between this node and a standalone Redis, to disturb this node alone. */
  readonly redisProxy: TcpProxy | undefined
  /** The proxy through which other nodes link to this node. It stays after a restart. Undefined without links. */
  readonly linkProxy: TcpProxy | undefined
  node: Node
  /** Starts a new process in place of the former one, which has ended. */
  restart(): Promise<void>
}

export type Store =
  | { kind: 'standalone'; redis: RedisServer; meddler: Meddler }
  | { kind: 'sentinel'; sentinel: SentinelSetup }
  | { kind: 'cluster'; cluster: RedisCluster }

/** All processes of a run, on loopback. */
export interface Testbed {
  readonly store: Store
  readonly members: readonly Member[]
  readonly haproxy: Haproxy
  /** A proxy in front of the balancer that can be disturbed. Some of the peers connect through it. */
  readonly peerProxy: TcpProxy
  stop(): Promise<void>
}

export async function startTestbed(options: TestbedOptions): Promise<Testbed> {
  const store = await startStore(options)
  const members: Member[] = []
  for (let index = 0; index < options.nodes; index++) members.push(await startMember(store, options, index))
  const backends = members.map(({ port }) => ({ host: '127.0.0.1', port }))
  const haproxy = await startHaproxy({ backends, env: options.balancer ?? {} })
  await Promise.all(members.map(({ index }) => haproxy.until(index, 'UP')))
  const peerProxy = await startTcpProxy({ target: haproxy, seed: options.seed + 100 })
  return {
    store,
    members,
    haproxy,
    peerProxy,
    stop: async () => {
      await peerProxy.stop()
      await haproxy.stop()
      await Promise.all(members.map((member) => member.node.stop()))
      const proxies = members.flatMap(({ redisProxy, linkProxy }) =>
        [redisProxy ?? [], linkProxy ?? []].flat(),
      )
      await Promise.all(proxies.map((proxy) => proxy.stop()))
      await stopStore(store)
    },
  }
}

/** The standalone Redis of this testbed. */
export function redisOf(testbed: Testbed): RedisServer {
  if (testbed.store.kind !== 'standalone') throw new Error(`this testbed runs on ${testbed.store.kind}`)
  return testbed.store.redis
}

/** The proxy between a node and Redis. */
export function redisProxyOf(member: Member): TcpProxy {
  if (!member.redisProxy) throw new Error('nodes have their own proxies to Redis only on a standalone Redis')
  return member.redisProxy
}

/** The proxies that all links of the nodes pass through. */
export function linkProxiesOf(testbed: Testbed): TcpProxy[] {
  const linkProxies = testbed.members.flatMap(({ linkProxy }) => (linkProxy ? [linkProxy] : []))
  if (linkProxies.length < testbed.members.length) throw new Error('the nodes of this testbed have no links')
  return linkProxies
}

async function startStore(options: TestbedOptions): Promise<Store> {
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

async function startMember(store: Store, options: TestbedOptions, index: number): Promise<Member> {
  const target =
    store.kind === 'standalone' ? { host: '127.0.0.1', port: portOf(store.meddler.url) } : undefined
  const redisProxy = target && (await startTcpProxy({ target, seed: options.seed + index }))
  const port = await freePort()
  const links = options.links ? await linkFlags(options, index) : undefined
  const redisUrl = redisProxy ? `redis://${redisProxy.host}:${redisProxy.port}` : urlOf(store)
  const start = (): Promise<Node> =>
    startNode({
      redisUrl,
      // The tests measure with the default times.
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
  const member: Member = {
    index,
    port,
    redisProxy,
    linkProxy: links?.linkProxy,
    node: await start(),
    restart: async () => {
      await member.node.stop()
      member.node = await start()
    },
  }
  return member
}

/** Starts a proxy in front of a node's port for links, with the flags that make the node use both. */
async function linkFlags(
  { seed, linkProxies }: TestbedOptions,
  index: number,
): Promise<{ linkProxy: TcpProxy; flags: string[] }> {
  const port = await freePort()
  const linkProxy = await startTcpProxy({ target: { host: '127.0.0.1', port }, seed: seed + 200 + index })
  if (linkProxies === 'drop') linkProxy.drop()
  if (linkProxies === 'refuse') linkProxy.refuse()
  const flags = [
    '--links-host=127.0.0.1',
    `--links-port=${port}`,
    `--links-advertise=${linkProxy.host}:${linkProxy.port}`,
  ]
  return { linkProxy, flags }
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
