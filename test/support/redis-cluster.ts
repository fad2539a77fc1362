import { orStop, startTogether } from './fixture.js'
import { freePort } from './ports.js'
import { eventually } from './process.js'
import { startRedis, type RedisOptions, type RedisServer } from './redis.js'

export interface ClusterOptions {
  masters?: number
  /** Replicas for each master. */
  replicas?: 0 | 1
  /** How long a node may be silent before the others consider it dead. */
  nodeTimeoutMs?: number
  /** Options for every server. */
  redis?: Pick<RedisOptions, 'config' | 'args' | 'acl' | 'login' | 'tls'>
}

/** One server of the cluster. */
export interface ClusterNode {
  /** Its id in the cluster. */
  readonly id: string
  readonly server: RedisServer
}

export interface RedisCluster {
  readonly nodes: readonly ClusterNode[]
  /** Addresses to begin with. */
  readonly seeds: readonly { host: string; port: number }[]
  /** `redis+cluster://127.0.0.1:P1,127.0.0.1:P2,…`. */
  readonly url: string
  /** The slot of a key or of a sharded channel. */
  slot(key: string): Promise<number>
  /** The master that serves the slot now. */
  owner(slot: number): Promise<ClusterNode>
  masters(): Promise<ClusterNode[]>
  /** The replica of a master, once every living node knows it. */
  replica(master: ClusterNode): Promise<ClusterNode>
  /** Moves a slot with its keys to another master, live, as `redis-cli --cluster reshard` does. */
  moveSlot(slot: number, to: ClusterNode): Promise<void>
  /** An orderly failover, in which the replica takes over. Resolves with the new master once all nodes agree. */
  failover(master: ClusterNode): Promise<ClusterNode>
  /** Waits until a master other than `old` serves the slot, and every living node says so. */
  ownerAfter(slot: number, old: ClusterNode, deadlineMs?: number): Promise<ClusterNode>
  /** Waits until every node says that the cluster serves all slots. */
  whole(): Promise<void>
  stop(): Promise<void>
}

const SLOTS = 16_384
const START_DEADLINE_MS = 30_000
const CHANGE_DEADLINE_MS = 30_000
const MIGRATE_DEADLINE_MS = '5000'
const MIGRATE_AT_ONCE = '1000'

/** Starts a Redis Cluster on 127.0.0.1: masters that share the slots evenly, each with its replicas. */
export async function startRedisCluster(options: ClusterOptions = {}): Promise<RedisCluster> {
  const { masters: masterCount = 3, replicas = 1 } = options
  const count = masterCount * (1 + replicas)
  const launched = await startTogether(Array.from({ length: count }, () => launch(options)))
  return orStop(launched, async () => {
    const members = await Promise.all(
      launched.map(async (each) => ({ ...each, id: await each.server.cli('CLUSTER', 'MYID') })),
    )
    await introduce(members)
    await assignSlots(members.slice(0, masterCount))
    await untilWhole(members)
    await Promise.all(
      members.slice(masterCount).map(({ server }, index) => {
        const master = members[index % masterCount]
        return server.cli('CLUSTER', 'REPLICATE', master?.id ?? '')
      }),
    )
    await eventually('the replicas follow', () => followed(members, masterCount, replicas), {
      deadlineMs: START_DEADLINE_MS,
    })
    return describe(members, options.redis?.tls === undefined ? 'redis' : 'rediss')
  })
}

interface Member extends ClusterNode {
  busPort: number
}

function describe(nodes: readonly Member[], scheme: 'redis' | 'rediss'): RedisCluster {
  const seeds = nodes.map(({ server }) => ({ host: server.host, port: server.port }))
  const masters = async (): Promise<ClusterNode[]> => {
    const lines = await view(nodes)
    return nodes.filter(({ id }) =>
      lines.some((line) => line.id === id && line.isMaster && line.slots.length > 0),
    )
  }
  const owner = async (slot: number): Promise<ClusterNode> => {
    const line = (await view(nodes)).find((each) => serves(each, slot))
    return byId(nodes, line?.id)
  }
  const ownerAfter = (
    slot: number,
    old: ClusterNode,
    deadlineMs = CHANGE_DEADLINE_MS,
  ): Promise<ClusterNode> =>
    eventually(
      `slot ${slot} has left ${old.server.port}`,
      async () => {
        const found = await agreed(nodes, (lines) => lines.find((line) => serves(line, slot))?.id)
        return found?.id === old.id ? undefined : found
      },
      { deadlineMs },
    )
  const replica = (master: ClusterNode): Promise<ClusterNode> =>
    eventually(
      `port ${master.server.port} has a replica`,
      () => agreed(nodes, (lines) => lines.find((line) => line.masterId === master.id)?.id),
      { deadlineMs: CHANGE_DEADLINE_MS },
    )
  return {
    nodes,
    seeds,
    url: `${scheme}+cluster://${seeds.map(({ host, port }) => `${host}:${port}`).join(',')}`,
    slot: async (key) => Number(await first(nodes).server.cli('CLUSTER', 'KEYSLOT', key)),
    owner,
    masters,
    replica,
    ownerAfter,
    moveSlot: async (slot, to) => {
      const from = await owner(slot)
      await migrate(slot, from, to, await masters())
      await ownerAfter(slot, from)
    },
    failover: async (master) => {
      const line = (await view(nodes)).find((each) => each.id === master.id)
      const slot = line?.slots[0]?.[0]
      if (slot === undefined) throw new Error(`port ${master.server.port} serves no slot`)
      const heir = await replica(master)
      await heir.server.cli('CLUSTER', 'FAILOVER')
      return ownerAfter(slot, master)
    },
    whole: () => untilWhole(nodes),
    stop: async () => {
      await Promise.all(nodes.map(({ server }) => server.stop()))
    },
  }
}

async function launch(options: ClusterOptions): Promise<Omit<Member, 'id'> & Pick<RedisServer, 'stop'>> {
  // By default the bus listens on the port 10,000 above, which may be taken.
  const busPort = await freePort()
  const server = await startRedis({
    ...options.redis,
    config: {
      'cluster-enabled': 'yes',
      'cluster-port': String(busPort),
      'cluster-node-timeout': String(options.nodeTimeoutMs ?? 2_000),
      'repl-diskless-sync-delay': '0',
      ...options.redis?.config,
    },
  })
  return { server, busPort, stop: () => server.stop() }
}

async function introduce(members: readonly Member[]): Promise<void> {
  for (const [index, { server }] of members.entries()) {
    // The nodes get distinct epochs at the start, so that they need not resolve conflicts first.
    await server.cli('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1))
  }
  // Each node meets every other node, because gossip takes seconds to spread.
  const meetings = members.flatMap(({ server }, index) =>
    members
      .slice(index + 1)
      .map((other) =>
        server.cli('CLUSTER', 'MEET', other.server.host, String(other.server.port), String(other.busPort)),
      ),
  )
  await Promise.all(meetings)
}

async function assignSlots(masters: readonly Member[]): Promise<void> {
  const bound = (index: number): number => Math.floor((index * SLOTS) / masters.length)
  await Promise.all(
    masters.map(({ server }, index) =>
      server.cli('CLUSTER', 'ADDSLOTSRANGE', String(bound(index)), String(bound(index + 1) - 1)),
    ),
  )
}

async function untilWhole(members: readonly Member[]): Promise<void> {
  const isWhole = async (): Promise<true | undefined> => {
    for (const { server } of members) {
      const info = await server.cli('CLUSTER', 'INFO')
      if (!info.includes('cluster_state:ok')) return undefined
      if (!info.includes(`cluster_known_nodes:${members.length}`)) return undefined
    }
    return true
  }
  await eventually('the cluster knows its slots', isWhole, { deadlineMs: START_DEADLINE_MS })
}

async function followed(
  members: readonly Member[],
  masters: number,
  replicas: number,
): Promise<true | undefined> {
  for (const { server } of members.slice(0, masters)) {
    const online = (await server.cli('INFO', 'replication')).match(/state=online/g)?.length ?? 0
    if (online !== replicas) return undefined
  }
  for (const { server } of members) {
    const lines = parseView(await server.cli('CLUSTER', 'NODES'))
    if (lines.filter((line) => line.isMaster).length !== masters) return undefined
  }
  return true
}

/** A node as another node sees it: a line of CLUSTER NODES. */
interface Line {
  id: string
  isMaster: boolean
  masterId: string
  slots: [number, number][]
}

function parseView(text: string): Line[] {
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => {
    const [id = '', , flags = '', masterId = '', , , , , ...ranges] = line.split(' ')
    const owned = ranges.filter((range) => !range.startsWith('[')) // [ marks a slot that is being moved
    const slots = owned.map((range): [number, number] => {
      const [low = '', high = low] = range.split('-')
      return [Number(low), Number(high)]
    })
    const isMaster = flags.includes('master') && !/\bfail\b/.test(flags)
    return { id, isMaster, masterId, slots }
  })
}

/** The view of the first node that answers. */
async function view(nodes: readonly ClusterNode[]): Promise<Line[]> {
  return parseView(await Promise.any(nodes.map(({ server }) => server.cli('CLUSTER', 'NODES'))))
}

/** The node that all living nodes name, if they agree. */
async function agreed(
  nodes: readonly ClusterNode[],
  choose: (lines: readonly Line[]) => string | undefined,
): Promise<ClusterNode | undefined> {
  const answers = await Promise.allSettled(nodes.map(({ server }) => server.cli('CLUSTER', 'NODES')))
  const named = new Set<string | undefined>()
  for (const answer of answers) {
    if (answer.status === 'fulfilled') named.add(choose(parseView(answer.value))) // else killed, or paused
  }
  const [id] = named
  return named.size === 1 && id !== undefined ? byId(nodes, id) : undefined
}

/** The four steps of a live move (redis.io, "Live resharding"): import, migrate, move the keys, set the new owner. */
async function migrate(
  slot: number,
  from: ClusterNode,
  to: ClusterNode,
  masters: ClusterNode[],
): Promise<void> {
  const number = String(slot)
  await to.server.cli('CLUSTER', 'SETSLOT', number, 'IMPORTING', from.id)
  await from.server.cli('CLUSTER', 'SETSLOT', number, 'MIGRATING', to.id)
  for (;;) {
    const text = await from.server.cli('CLUSTER', 'GETKEYSINSLOT', number, MIGRATE_AT_ONCE)
    if (text === '') break
    const target = [to.server.host, String(to.server.port), '', '0', MIGRATE_DEADLINE_MS]
    await from.server.cli('MIGRATE', ...target, 'REPLACE', 'KEYS', ...text.split('\n'))
  }
  for (const { server } of [to, from, ...masters])
    await server.cli('CLUSTER', 'SETSLOT', number, 'NODE', to.id)
}

function serves(line: Line, slot: number): boolean {
  return line.isMaster && line.slots.some(([low, high]) => low <= slot && slot <= high)
}

function byId(nodes: readonly ClusterNode[], id: string | undefined): ClusterNode {
  const node = nodes.find((each) => each.id === id)
  if (node === undefined) throw new Error(`no node of this cluster has the id ${id ?? '(none)'}`)
  return node
}

function first(nodes: readonly ClusterNode[]): ClusterNode {
  const [node] = nodes
  if (node === undefined) throw new Error('the cluster has no nodes')
  return node
}
