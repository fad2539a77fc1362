import type { Comparison, Contender, Metrics, Row } from '../lib/comparison.js'
import { startPageLoad, type Servers, type WireOfPages } from '../wires.js'

const SOCKETS = 5000
const QUICK_SOCKETS = 400
/** These connect and leave before the first reading, so that compiled code and pools do not count as the sockets' memory. */
const WARM_SOCKETS = 400
const PER_TOPIC = 20
const PER_SWARM = 50
/** By then the timers and buffers of the connecting phase are gone. */
const SETTLE_MS = 3000
const MOST = 0.8

const settle = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

function contender(name: string, wire: WireOfPages, servers: Servers): Contender {
  const perGroup = wire === 'y-webrtc' ? PER_TOPIC : PER_SWARM
  return {
    name,
    start: async ({ quick }) => {
      const sockets = quick ? QUICK_SOCKETS : SOCKETS
      const { nodes, redis, open, ask, stop } = await startPageLoad(wire, servers)
      const node = nodes[0]
      if (node === undefined) throw new Error('no node')
      const measure = async (): Promise<Metrics> => {
        await open(WARM_SOCKETS, perGroup)
        await ask('close', {})
        await settle(SETTLE_MS)
        const before = await node.hook('memory')
        const keysBefore = await redis?.usedBytes()
        await open(sockets, perGroup)
        await settle(SETTLE_MS)
        const after = await node.hook('memory')
        const each = (metric: string): number =>
          ((after[metric] ?? Number.NaN) - (before[metric] ?? Number.NaN)) / sockets
        const bytes = await redis?.usedBytes()
        return {
          rss: each('rss'),
          heap: each('heapUsed'),
          external: each('external'),
          ...(bytes === undefined ? {} : { redisBytes: (bytes - (keysBefore ?? Number.NaN)) / sockets }),
        }
      }
      return { measure, stop }
    },
  }
}

interface About {
  wire: WireOfPages
  /** What a socket did before it was idle. */
  what: string
  reference: string
}

const Y_WEBRTC: About = {
  wire: 'y-webrtc',
  what: 'a y-webrtc socket with one topic',
  reference: 'y-webrtc/bin/server.js',
}
const TRACKER: About = {
  wire: 'webtorrent',
  what: "a tracker's socket in one swarm",
  reference: 'bittorrent-tracker',
}

const inMemory = ({ wire }: About): string => `peerage, ${wire}, in memory`
const withRedis = ({ wire }: About): string => `peerage, ${wire}, with Redis`

function contenders(about: About): Contender[] {
  return [
    contender(about.reference, about.wire, 'reference'),
    contender(inMemory(about), about.wire, 'one node in memory'),
    contender(withRedis(about), about.wire, 'one node'),
  ]
}

function rows(about: About): Row[] {
  const subjects = [inMemory(about), withRedis(about)]
  const compared = subjects.flatMap((subject): Row[] =>
    [
      { of: 'heap', metric: 'heap' },
      { of: 'RSS', metric: 'rss' },
    ].map(({ of, metric }) => ({
      measure: `${of} of ${about.what}, idle`,
      metric,
      unit: 'B',
      subject,
      against: about.reference,
      aim: { of: 'ratio', most: MOST },
    })),
  )
  const inRedis: Row = {
    measure: `Redis memory of ${about.what}`,
    metric: 'redisBytes',
    unit: 'B',
    subject: withRedis(about),
  }
  return [...compared, inRedis]
}

export const wiresMemory: readonly Comparison[] = [
  {
    id: 'wires-memory',
    title: 'Memory of an idle socket of a page',
    load:
      `${SOCKETS} idle sockets on one node, ${PER_TOPIC} in each topic of y-webrtc, ${PER_SWARM} in each swarm; ` +
      `difference between after and before, each after full collections; ${WARM_SOCKETS} sockets connected and left ` +
      `before; the limits on new connections are raised`,
    processes: 'fresh',
    rounds: 3,
    contenders: [Y_WEBRTC, TRACKER].flatMap(contenders),
    rows: [Y_WEBRTC, TRACKER].flatMap(rows),
  },
]
