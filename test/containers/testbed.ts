import { createHash, randomBytes } from 'node:crypto'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { runtimeOf, type HaproxyRuntime } from '@peerage/test-support/haproxy.js'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { freePort } from '@peerage/test-support/ports.js'
import { eventually } from '@peerage/test-support/process.js'
import { startTcpProxy, type TcpProxy } from '@peerage/test-support/tcp-proxy.js'
import { startContainer, type Container } from './container.js'
import type { Engine } from './engine.js'
import { IMAGE } from './image-build.js'

export interface TestbedOptions {
  /** The beginning of the names of all containers and of the network: `rolling`. */
  prefix: string
  /** The first three numbers of the network's addresses: `10.89.51`. */
  subnet: string
  /** By default three. */
  nodes?: number
  /** Whether the nodes link to each other. */
  links?: boolean
  /** Whether each node reaches Redis through a proxy on this machine, which can disturb it. */
  redisProxies?: boolean
  /** Settings of every node, besides those of `nodeSettings`. */
  env?: Readonly<Record<string, string>>
}

/** A node of the testbed. Its address and its port on loopback stay when its container is replaced. */
export interface ContainerNode {
  /** Counted from 0, as HAProxy's backends. */
  readonly index: number
  readonly address: string
  /** The port on 127.0.0.1 that leads to the node's port for peers. */
  readonly port: number
  /** The base URL of its admin port, as in the fixture of a node that is a process. */
  readonly node: { readonly admin: string }
  /** The proxy through which it reaches Redis, if the testbed has proxies. */
  readonly redisProxy: TcpProxy | undefined
  /** The container that runs at present. */
  readonly container: Container
  /** Removes the present container, which must have ended or is killed, and starts one of `image` in its place. */
  replace(image?: string): Promise<void>
}

/** Redis, a P2P server, nodes and HAProxy, each in a container of one bridge network. */
export interface ContainerTestbed {
  readonly network: string
  readonly nodes: readonly ContainerNode[]
  readonly redis: Container
  readonly redisAddress: string
  readonly balancerAddress: string
  readonly balancer: HaproxyRuntime & { readonly container: Container; readonly url: string }
  /** Takes the network from a node's container, with its interface and its address. */
  disconnect(node: ContainerNode): Promise<void>
  /** Gives the container its network and its address again. */
  reconnect(node: ContainerNode): Promise<void>
  /** Removes the containers, the network and the files. */
  stop(): Promise<void>
}

const HAPROXY_IMAGE = 'haproxy:2.8'
const REDIS_IMAGE = 'redis:7.4'
const HEALTH_DEADLINE_MS = 60_000
/** As stop_grace_period in docker-compose.yml. */
export const GRACE_SECONDS = 30

/** Starts the services in the order of docker-compose.yml, and waits until HAProxy finds every node UP. */
export async function startTestbed(engine: Engine, options: TestbedOptions): Promise<ContainerTestbed> {
  const { prefix, subnet, nodes: count = 3 } = options
  const network = `${prefix}-net`
  const directory = await makeDirectory(prefix)
  // HAProxy's own user makes its socket here.
  await chmod(directory, 0o777)
  const started = new Map<string, Container>()
  const proxies: TcpProxy[] = []
  const start = async (name: string, args: readonly string[]): Promise<Container> => {
    const container = await startContainer(engine, `${prefix}-${name}`, ['--network', network, ...args])
    started.set(name, container)
    return container
  }
  const stop = async (): Promise<void> => {
    // Each is tried, whatever becomes of the others. The network goes last, when no container uses it.
    const ends: Promise<unknown>[] = [...started.values()].map((container) => container.remove())
    const outcomes = await Promise.allSettled([...ends, ...proxies.map((proxy) => proxy.stop())])
    const last: Promise<unknown>[] = [engine.docker(['network', 'rm', network]), removeDirectory(directory)]
    outcomes.push(...(await Promise.allSettled(last)))
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }
  try {
    await engine.docker(['network', 'create', '--subnet', `${subnet}.0/24`, network])
    const password = randomBytes(24).toString('hex')
    const redisAddress = `${subnet}.5`
    const redis = await startRedis({ start, directory, password, address: redisAddress })
    await start('p2p', [
      '--ip',
      `${subnet}.6`,
      '--read-only',
      '--cap-drop',
      'ALL',
      '--no-healthcheck',
      IMAGE,
      'stun',
    ])
    const settings = { ...nodeSettings(subnet, options.links ?? false), ...options.env }
    const run = { start, settings, subnet, secret: join(directory, 'redis-password') }
    const nodes: ContainerNode[] = []
    for (let index = 0; index < count; index++) {
      const target = { host: redisAddress, port: 6379 }
      // The network's own address on this machine.
      const proxy =
        options.redisProxies === true
          ? await startTcpProxy({ target, host: `${subnet}.1`, seed: index })
          : undefined
      if (proxy !== undefined) proxies.push(proxy)
      nodes.push(await startNode({ ...run, redisProxy: proxy }, index))
    }
    await Promise.all(nodes.map(({ container }) => container.healthy(HEALTH_DEADLINE_MS)))
    const balancer = await startBalancer({ start, directory, subnet, nodes })
    await Promise.all(nodes.map(({ index }) => balancer.until(index, 'UP')))
    return {
      network,
      nodes,
      redis,
      redisAddress,
      balancer,
      balancerAddress: `${subnet}.2`,
      disconnect: async ({ container }) =>
        void (await engine.docker(['network', 'disconnect', network, container.name])),
      reconnect: async ({ container, address }) =>
        void (await engine.docker(['network', 'connect', '--ip', address, network, container.name])),
      stop,
    }
  } catch (error) {
    await stop().catch(() => undefined) // the reason of the start counts
    throw error
  }
}

type Start = (name: string, args: readonly string[]) => Promise<Container>

/** Redis with the shipped ACL and the arguments of docker-compose.yml. */
async function startRedis(o: {
  start: Start
  directory: string
  password: string
  address: string
}): Promise<Container> {
  const acl = join(o.directory, 'users.acl')
  const hash = createHash('sha256').update(o.password).digest('hex')
  const shipped = await readFile(join(REPOSITORY, 'deploy/redis-users.acl'), 'utf8')
  await writeReadable(acl, shipped.replace('@PEERAGE_PASSWORD_SHA256@', hash))
  await writeReadable(join(o.directory, 'redis-password'), o.password)
  const flags = [
    '--ip',
    o.address,
    '--read-only',
    '--cap-drop',
    'ALL',
    '--user',
    '999:999',
    '--tmpfs',
    '/tmp',
    '--volume',
    `${acl}:/etc/redis/users.acl:ro`,
    '--health-cmd',
    'redis-cli ping 2>&1 | grep -qE "PONG|NOAUTH"',
    '--health-interval',
    '1s',
  ]
  const args = ['--aclfile', '/etc/redis/users.acl', '--maxmemory-policy', 'noeviction', '--dir', '/tmp']
  const redis = await o.start('redis', [
    ...flags,
    REDIS_IMAGE,
    'redis-server',
    ...args,
    '--save',
    '',
    '--appendonly',
    'no',
  ])
  await redis.healthy(HEALTH_DEADLINE_MS)
  return redis
}

/** The accounts in the containers are others than ours, and our umask may hide new files from them. */
async function writeReadable(path: string, text: string): Promise<void> {
  await writeFile(path, text)
  await chmod(path, 0o644)
}

/** The settings of docker-compose.yml that matter here. */
function nodeSettings(subnet: string, links: boolean): Record<string, string> {
  return {
    PEERAGE_HOST: '0.0.0.0',
    PEERAGE_PORT: '9000',
    PEERAGE_ADMIN_HOST: '0.0.0.0',
    PEERAGE_ADMIN_PORT: '9100',
    PEERAGE_OPEN: 'true',
    PEERAGE_REDIS: `redis://${subnet}.5:6379`,
    PEERAGE_REDIS_USERNAME: 'peerage',
    PEERAGE_REDIS_PASSWORD_FILE: '/run/secrets/redis_password',
    PEERAGE_TRUSTED_PROXIES: `${subnet}.2`,
    PEERAGE_USE_AS_P2P_SERVER: 'false',
    PEERAGE_P2P_SERVER: `${subnet}.6:9901`,
    ...(links ? { PEERAGE_LINKS_HOST: '0.0.0.0', PEERAGE_LINKS_PORT: '9200' } : {}),
  }
}

async function startNode(
  run: {
    start: Start
    settings: Readonly<Record<string, string>>
    subnet: string
    secret: string
    redisProxy: TcpProxy | undefined
  },
  index: number,
): Promise<ContainerNode> {
  const { redisProxy } = run
  const through: Record<string, string> =
    redisProxy === undefined ? {} : { PEERAGE_REDIS: `redis://${redisProxy.host}:${redisProxy.port}` }
  const port = await freePort()
  const address = `${run.subnet}.${11 + index}`
  const start = (image: string): Promise<Container> =>
    run.start(`node${index + 1}`, [
      '--ip',
      address,
      '--publish',
      `127.0.0.1:${port}:9000`,
      '--read-only',
      '--cap-drop',
      'ALL',
      '--security-opt',
      'no-new-privileges',
      '--volume',
      `${run.secret}:/run/secrets/redis_password:ro`,
      ...Object.entries({ ...run.settings, ...through }).flatMap(([name, value]) => [
        '--env',
        `${name}=${value}`,
      ]),
      image,
    ])
  let container = await start(IMAGE)
  return {
    index,
    address,
    port,
    node: { admin: `http://${address}:9100` },
    redisProxy,
    get container() {
      return container
    },
    replace: async (image = IMAGE) => {
      await container.remove()
      container = await start(image)
    },
  }
}

async function startBalancer(o: {
  start: Start
  directory: string
  subnet: string
  nodes: readonly ContainerNode[]
}): Promise<ContainerTestbed['balancer']> {
  const port = await freePort()
  const socket = join(o.directory, 'haproxy.sock')
  const backends = o.nodes.flatMap(({ index, address }) => [
    '--env',
    `PEERAGE_NODE_${index + 1}=${address}:9000`,
  ])
  const container = await o.start('haproxy', [
    '--ip',
    `${o.subnet}.2`,
    '--publish',
    `127.0.0.1:${port}:8080`,
    '--read-only',
    '--cap-drop',
    'ALL',
    '--volume',
    `${join(REPOSITORY, 'deploy/haproxy.cfg')}:/etc/haproxy/haproxy.cfg:ro`,
    '--volume',
    `${o.directory}:${o.directory}`,
    '--env',
    `PEERAGE_ADMIN_SOCKET=${socket}`,
    '--env',
    'PEERAGE_BIND=:8080',
    ...backends,
    HAPROXY_IMAGE,
    'haproxy',
    '-W',
    '-db',
    '-f',
    '/etc/haproxy/haproxy.cfg',
  ])
  const runtime = runtimeOf(socket)
  await eventually('haproxy listens', () => runtime.command('show info'), { deadlineMs: 10_000 })
  return { ...runtime, container, url: `http://127.0.0.1:${port}` }
}
