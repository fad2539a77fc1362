import { startNode, startNodes, type Node } from '@peerage/test-support/node.js'
import { startRedis } from '@peerage/test-support/redis.js'
import { startSentinel, type SentinelSetup } from '@peerage/test-support/redis-sentinel.js'
import { eventually } from '@peerage/test-support/process.js'
import type { Program } from './participants.js'

/** The setting that switches each wire on, and the path of its default app. */
const WIRES: Readonly<Record<Program, { flag: string; path: string }>> = {
  'y-webrtc': { flag: '--y-webrtc', path: '/y-webrtc/default' },
  webtorrent: { flag: '--webtorrent', path: '/announce/default' },
  tracker: { flag: '--webtorrent', path: '/announce/default' },
  'trystero-torrent': { flag: '--webtorrent', path: '/announce/default' },
  'trystero-relay': { flag: '--trystero', path: '/trystero/default' },
}

/** A drain takes all of this time, if a peer does not leave before. */
const DRAIN_MS = 3_000
/** trystero and WebTorrent announce again this often, so a lost offer is made good soon. */
const ANNOUNCE_MS = 10_000
/** Sentinels wait some seconds before they make a server that came back a replica. */
const REPLICA_DEADLINE_MS = 60_000
const ARGS = [
  ...new Set(Object.values(WIRES).map(({ flag }) => flag)),
  '--times-drain-ms',
  String(DRAIN_MS),
  '--webtorrent-interval-ms',
  String(ANNOUNCE_MS),
]

/** The path of a client's wire below the URL of a node. */
export const pathOf = (program: Program): string => WIRES[program].path

/** The URL of a client's wire at a node. */
export const urlOf = (node: Node, program: Program): string =>
  `${node.url.replace('http', 'ws')}${pathOf(program)}`

/** Two nodes on one Redis. */
export interface Site {
  readonly nodes: readonly [Node, Node]
  /** Starts one more node, for a test that ends it. */
  another(): Promise<Node>
  /**
   * `planned` asks the sentinels for a failover; `killed` kills the master and starts it again as a replica. Resolves when
   * the new master takes writes. Only with sentinels.
   */
  failover(how: 'planned' | 'killed'): Promise<void>
  stop(): Promise<void>
}

export async function startSite(options: { sentinels?: boolean } = {}): Promise<Site> {
  const sentinels = options.sentinels === true ? await startSentinel() : undefined
  const redis = sentinels ?? (await startRedis())
  const start = { redisUrl: redis.url, args: ARGS }
  const others: Node[] = []
  try {
    const [first, second] = await startNodes(2, start)
    if (first === undefined || second === undefined) throw new Error('unreachable: two nodes were started')
    return {
      nodes: [first, second],
      another: async () => {
        const node = await startNode(start)
        others.push(node)
        return node
      },
      failover: (how) => {
        if (sentinels === undefined) throw new Error('this site has no sentinels')
        return failOver(sentinels, how)
      },
      stop: async () => {
        await Promise.all([first, second, ...others].map((node) => node.stop()))
        await redis.stop()
      },
    }
  } catch (error) {
    await redis.stop()
    throw error
  }
}

async function failOver(sentinels: SentinelSetup, how: 'planned' | 'killed'): Promise<void> {
  if (how === 'planned') return void (await sentinels.failover())
  const old = await sentinels.killMaster()
  await sentinels.masterAfter(old)
  await old.restart()
  await eventually(
    'the sentinels have made it a replica',
    async () => (await old.cli('ROLE')).startsWith('slave') || undefined,
    {
      deadlineMs: REPLICA_DEADLINE_MS,
    },
  )
}
