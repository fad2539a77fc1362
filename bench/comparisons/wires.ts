import type { Comparison, Contender, Metrics, Row } from '../lib/comparison.js'
import { cpuBetween, readCpu, sum } from '../lib/cpu.js'
import { startPageLoad, type Servers, type WireOfPages } from '../wires.js'

/** Frames of peers without names. */
interface PageTraffic {
  wire: WireOfPages
  /** The command of the load process, and its options. */
  command: string
  options: Readonly<Record<string, boolean>>
  groups: number
  perGroup: number
  /** Frames in flight in a closed loop, as fast as the servers go; 0: an open loop at `rate`. */
  window: number
  /** Frames a second of all peers together in an open loop. */
  rate: number
}

const ROUND_MS = 5000
const WARM_MS_PER_NODE = 5000
const SETTLE_MS = 1000
const QUICK_SHARE = 0.1
/** Above this share of a core, the load process itself is the bottleneck. */
const MOST_LOAD_SHARE = 0.9
const MOST_ONE = 1
const MOST_TWO = 1.6

const PEERAGE: Readonly<Record<Exclude<Servers, 'reference'>, string>> = {
  'one node in memory': 'peerage, one node, in memory',
  'one node': 'peerage, one node, with Redis',
  'two nodes': 'peerage, two nodes',
}

function contender(name: string, servers: Servers, traffic: PageTraffic): Contender {
  return {
    name,
    start: async ({ quick }) => {
      const scale = quick ? QUICK_SHARE : 1
      const { nodes, redis, open, ask, stop } = await startPageLoad(traffic.wire, servers)
      const send = async (ms: number, window = traffic.window): Promise<Metrics> => {
        const options = { ...traffic.options, rate: traffic.rate, window, ms: ms * scale }
        const result = await ask(traffic.command, options)
        if ((result['loadShare'] ?? 0) > MOST_LOAD_SHARE)
          throw new Error('the load process was the limit, not the servers')
        return result
      }
      const measure = async (): Promise<Metrics> => {
        const before = await readCpu(nodes, redis)
        const result = await send(ROUND_MS)
        const used = cpuBetween(before, await readCpu(nodes, redis))
        const sent = result['sent'] ?? Number.NaN
        return {
          nodesUs: sum(used.nodes) / sent,
          cpuUs: (sum(used.nodes) + used.redis) / sent,
          frames: (result['frames'] ?? Number.NaN) / sent,
          perSecond: (sent * 1000) / (result['ms'] ?? Number.NaN),
          loadShare: result['loadShare'] ?? Number.NaN,
        }
      }
      try {
        await open(traffic.groups * traffic.perGroup, traffic.perGroup)
        // As fast as the servers go, until V8 has compiled the hot code.
        await send(WARM_MS_PER_NODE * nodes.length, WINDOW)
        await send(SETTLE_MS)
        return { measure, stop }
      } catch (error) {
        await stop()
        throw error
      }
    },
  }
}

function rows(measure: string, reference: string): Row[] {
  const row = (servers: Exclude<Servers, 'reference'>, most: number): Row => ({
    measure,
    metric: 'nodesUs',
    unit: 'µs',
    subject: PEERAGE[servers],
    against: reference,
    aim: { of: 'ratio', most },
  })
  const withRedis = (servers: 'one node' | 'two nodes'): Row => ({
    measure: `${measure}, with that of Redis`,
    metric: 'cpuUs',
    unit: 'µs',
    subject: PEERAGE[servers],
    against: reference,
  })
  return [
    row('one node in memory', MOST_ONE),
    row('one node', MOST_ONE),
    row('two nodes', MOST_TWO),
    withRedis('one node'),
    withRedis('two nodes'),
  ]
}

interface About {
  id: string
  title: string
  measure: string
  load: string
  reference: string
}

function comparison({ id, title, measure, load, reference }: About, traffic: PageTraffic): Comparison {
  const { groups, perGroup, rate, window } = traffic
  const pace =
    window === 0
      ? `${rate}/s open loop, evenly spaced`
      : `closed loop, as fast as each server goes, ${window} in flight`
  return {
    id,
    title,
    load:
      `${load}; ${groups * perGroup} sockets, ${perGroup} in each topic or swarm, all in turns, ${pace}, ` +
      `${ROUND_MS / 1000} s a round; CPU of the server processes; the reference always runs as a single process; ` +
      `on two nodes, each has half of the sockets of a topic or swarm; peerage's limits on messages are raised`,
    processes: 'kept',
    rounds: 5,
    contenders: [
      contender(reference, 'reference', traffic),
      contender(PEERAGE['one node in memory'], 'one node in memory', traffic),
      contender(PEERAGE['one node'], 'one node', traffic),
      contender(PEERAGE['two nodes'], 'two nodes', traffic),
    ],
    rows: rows(`${measure}, ${window === 0 ? `${rate}/s` : 'busy'}`, reference),
  }
}

/** Frames in flight: several are read and written in one turn of a server's loop, as on a busy server. */
const WINDOW = 64

const Y_WEBRTC: PageTraffic = {
  wire: 'y-webrtc',
  command: 'publish',
  options: { clear: false },
  groups: 20,
  perGroup: 20,
  window: WINDOW,
  rate: 500,
}
const TRACKER: PageTraffic = {
  wire: 'webtorrent',
  command: 'announce',
  options: {},
  groups: 4,
  perGroup: 50,
  window: WINDOW,
  rate: 300,
}
const PUBLICATION: About = {
  id: 'wires-y-webrtc',
  title: 'Publications of y-webrtc to 20 subscribers',
  measure: 'CPU of a y-webrtc publication to 20 subscribers',
  load: 'encrypted publications of 300 to 3,000 characters, as with a password, which all 20 subscribers receive',
  reference: 'y-webrtc/bin/server.js',
}
const SIGNAL: About = {
  id: 'wires-y-webrtc-clear',
  title: 'Signals of y-webrtc in the clear, among 20 subscribers',
  measure: 'CPU of a y-webrtc signal in the clear, among 20 subscribers',
  load:
    'signals of 300 to 3,000 characters that name their recipient, as without a password: the reference sends each ' +
    'to all 20 subscribers, peerage to its sender and its recipient',
  reference: PUBLICATION.reference,
}
const ANNOUNCE: About = {
  id: 'wires-tracker',
  title: 'Announcements with five offers in a swarm of 50',
  measure: 'CPU of an announcement with 5 offers',
  load: 'announcements with 5 offers of some 1.8 KB each; each offer goes to another peer of the swarm',
  reference: 'bittorrent-tracker',
}

/** The same at an even rate: every frame wakes every process on its path, and there is nothing to batch. */
function steady(about: About, traffic: PageTraffic): Comparison {
  const named = { ...about, id: `${about.id}-steady`, title: `${about.title}, steady` }
  return comparison(named, { ...traffic, window: 0 })
}

export const wires: readonly Comparison[] = [
  comparison(PUBLICATION, Y_WEBRTC),
  steady(PUBLICATION, Y_WEBRTC),
  comparison(SIGNAL, { ...Y_WEBRTC, options: { clear: true } }),
  comparison(ANNOUNCE, TRACKER),
  steady(ANNOUNCE, TRACKER),
]
