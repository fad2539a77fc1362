/**
 * Computes nodes, Redis shards, memory and message rate for up to twenty million peers from results of the bench. If
 * several files hold a comparison, the last one counts. Prints the measured points, how well they predict two other
 * measurements, and the table.
 *
 *   node bench/dist/bench/scaling.js bench/results/<date>.json …
 */
import { readFileSync } from 'node:fs'
import { argv } from 'node:process'
import { asList, asNumber, asRecord, asText } from './loads/wire.js'
import { median } from './lib/stats.js'

/** What one peer does on average. Each figure is an assumption: replace it with your own. */
const HABITS = {
  /** A handshake every ten minutes: 20 messages (offer, answer, candidates of both sides), each to another node. */
  messagesPerSecond: 20 / 600,
  /** Each peer connects once per half hour, which is one connect and one claim. */
  connectsPerSecond: 1 / 1800,
  lookupsPerSecond: 2 / 600,
}
/** A lease is renewed once per cycle of 15 beats of 2 s. */
const RENEWALS_PER_SECOND = 1 / 30
/** A node is a process with one busy thread. Above this share of a core, latency grows. */
const CORE_SHARE = 0.6
/** Redis, too, runs its commands on one thread. */
const REDIS_SHARE = 0.6
/** All peers may reconnect within this time. (If one node dies, the other nodes take its peers.) */
const RETURN_SECONDS = 60
const NODE_CONNECTIONS_MOST = 50_000
/**
 * A node opens a link to another node after 20 envelopes within 2 s, and the link stays. If envelopes come at random,
 * this average rate reaches that burst once within some hours.
 */
const LINK_LEAST_PER_SECOND = 4
/** The links that a node keeps; its other envelopes go through Redis. */
const LINKS_MOST = 256
/** A message, and its acknowledgement in the other direction. */
const ENVELOPES_PER_MESSAGE = 2
/** In every beat of 2 s each node reads the whole view of nodes. One entry costs Redis as much as a look-up. */
const BEAT_SECONDS = 2
const US = 1e-6
const GB = 1e9

interface Points {
  messageNodeUs: number
  messageRedisUs: number
  /** The same for a message that goes through Redis. */
  inboxNodeUs: number
  inboxRedisUs: number
  connectUs: number
  claimRedisUs: number
  lookupRedisUs: number
  renewRedisUs: number
  idleUsPerSecond: number
  rss: number
  nameBytes: number
}

type Samples = (comparison: string, contender: string, metric: string) => number

function readSamples(files: readonly string[]): Samples {
  const comparisons = files.flatMap((file) => {
    const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'))
    return asList(asRecord(parsed)['comparisons']).map(asRecord)
  })
  return (comparison, contender, metric) => {
    const found = comparisons.findLast((candidate) => asText(candidate['id']) === comparison)
    const rounds = asList(asRecord(found?.['samples'])[contender]).map(asRecord)
    const value = median(rounds.map((round) => asNumber(round[metric])))
    if (Number.isNaN(value)) throw new Error(`no results of ${comparison}, ${contender}, ${metric}`)
    return value
  }
}

const readPoints = (of: Samples): Points => ({
  // Mostly idle nodes use more CPU per message than busy nodes, so this estimate is on the safe side.
  messageNodeUs: of('cross-node-steady', 'peerage', 'nodesUs'),
  messageRedisUs: of('cross-node-steady', 'peerage', 'redisUs'),
  inboxNodeUs: of('cross-node-steady', 'peerage, links off', 'nodesUs'),
  inboxRedisUs: of('cross-node-steady', 'peerage, links off', 'redisUs'),
  connectUs: of('connects', 'peerage', 'cpuUs') - of('connects', 'peerage', 'redisUs'),
  claimRedisUs: of('registry-1m', 'peerage', 'claimRedisUs'),
  lookupRedisUs: of('registry-1m', 'peerage', 'lookupRedisUs'),
  renewRedisUs: of('registry-1m', 'peerage', 'renewRedisUs'),
  idleUsPerSecond: of('memory', 'peerage', 'idleUs'),
  rss: of('memory', 'peerage', 'rss'),
  nameBytes: of('registry-1m', 'peerage', 'bytes'),
})

/** The share of messages that goes over links, if each node sends equally to every other node. */
function linkShare(peers: number, nodes: number): number {
  const others = Math.max(1, nodes - 1)
  const perSecond = (peers * HABITS.messagesPerSecond * ENVELOPES_PER_MESSAGE) / nodes / others
  return perSecond < LINK_LEAST_PER_SECOND ? 0 : Math.min(1, LINKS_MOST / others)
}

/** The cores that the nodes and Redis use for this many peers. */
function cores(peers: number, points: Points, linked: number): { nodes: number; redis: number } {
  const { messagesPerSecond, connectsPerSecond, lookupsPerSecond } = HABITS
  const mixed = (link: number, inbox: number): number => linked * link + (1 - linked) * inbox
  const node =
    messagesPerSecond * mixed(points.messageNodeUs, points.inboxNodeUs) +
    connectsPerSecond * points.connectUs +
    points.idleUsPerSecond
  const redis =
    messagesPerSecond * mixed(points.messageRedisUs, points.inboxRedisUs) +
    connectsPerSecond * points.claimRedisUs +
    lookupsPerSecond * points.lookupRedisUs +
    RENEWALS_PER_SECOND * points.renewRedisUs
  return { nodes: peers * node * US, redis: peers * redis * US }
}

interface Plan {
  nodes: number
  linked: number
  used: { nodes: number; redis: number }
  limit: string
  shards: number
  peersPerNode: number
}

/** More nodes leave less traffic for each link, which may require more nodes again: repeats until both agree. */
function plan(peers: number, points: Points, linked = 1): Plan {
  const used = cores(peers, points, linked)
  const needs: [string, number][] = [
    ['CPU of messages, pings and renewals', used.nodes / CORE_SHARE],
    ['connections of one node', peers / NODE_CONNECTIONS_MOST],
    [`all peers back within ${RETURN_SECONDS} s`, (peers / RETURN_SECONDS) * points.connectUs * US],
  ]
  const [limit, most] = needs.reduce((one, other) => (other[1] > one[1] ? other : one))
  // One node more, so that the others can carry the peers of a dead node.
  const nodes = Math.ceil(most) + 1
  const left = linkShare(peers, nodes)
  if (left < linked) return plan(peers, points, left)
  const beats = ((nodes * nodes) / BEAT_SECONDS) * points.lookupRedisUs * US
  const returning = (peers / RETURN_SECONDS) * points.claimRedisUs * US
  const shards = Math.ceil((Math.max(used.redis, returning) + beats) / REDIS_SHARE)
  return { nodes, linked, used, limit, shards, peersPerNode: Math.round(peers / nodes) }
}

function printPlan(peers: number, points: Points): void {
  const { nodes, linked, used, limit, shards, peersPerNode } = plan(peers, points)
  const cells = [
    peers.toLocaleString('en'),
    `${nodes} (${limit})`,
    `${peersPerNode.toLocaleString('en')} peers, ${((peersPerNode * points.rss) / GB).toFixed(2)} GB`,
    Math.round(peers * HABITS.messagesPerSecond).toLocaleString('en'),
    `${Math.round(100 * linked)} %`,
    `${used.nodes.toFixed(1)} + ${used.redis.toFixed(2)}`,
    `${shards}, ${((peers * points.nameBytes) / GB / shards).toFixed(2)} GB each`,
  ]
  console.log(`| ${cells.join(' | ')} |`)
}

/** Compares two measurements that the model did not use with what it predicts. */
function check(of: Samples, points: Points): void {
  const rows: [string, number, number][] = [
    [
      'Redis memory of a name at 10,000 names, bytes',
      points.nameBytes,
      of('memory', 'peerage', 'redisBytes'),
    ],
    [
      'CPU of nodes per message with 8 nodes instead of 2, same traffic, µs',
      of('flat', 'peerage, 2 nodes', 'nodesUs'),
      of('flat', 'peerage, 2 busy of 8 nodes', 'nodesUs'),
    ],
  ]
  console.log('\nchecked against measurements that the model does not use:')
  for (const [what, predicted, measured] of rows) {
    const off = (100 * (predicted - measured)) / measured
    console.log(
      `  ${what}: predicted ${predicted.toFixed(1)}, measured ${measured.toFixed(1)} (${off.toFixed(0)} %)`,
    )
  }
}

const files = argv.slice(2)
if (files.length === 0) throw new Error('name the results: node scaling.js bench/results/<date>.json …')
const samples = readSamples(files)
const points = readPoints(samples)
for (const [name, value] of Object.entries(points)) console.log(`${name.padEnd(18)} ${value.toPrecision(4)}`)
check(samples, points)
console.log(
  '\n| peers | nodes (what limits) | a node | messages/s | over links | cores: nodes + Redis | Redis shards |',
)
console.log('|---|---|---|---|---|---|---|')
for (const peers of [100_000, 1_000_000, 20_000_000]) printPlan(peers, points)
