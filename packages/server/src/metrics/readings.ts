import type { Wire } from '@peerage/core'
import type { LinkState } from '@peerage/node-links'
import type { StunCounters } from '@peerage/stun'
import { collectDefaultMetrics, Counter, Gauge, type Registry } from 'prom-client'

/** Values that the metrics read on each scrape. */
export interface Readings {
  connections: () => ReadonlyMap<Wire, number>
  /** How many connections have been let in to each app, by the label of the app. */
  apps: () => ReadonlyMap<string, number>
  /** How many names the peers of this node hold. */
  names: () => number
  /**
   * What this node has of peers without names: the peers, their rooms (topics of y-webrtc and trystero), and the places of
   * the peers in rooms and in pools (swarms of WebTorrent).
   */
  anonymous: () => { peers: number; rooms: number; roomMemberships: number; poolMemberships: number }
  ready: () => boolean
  /** Whether the node is cut off from the cluster, because it could not renew its own lease in time [I12]. */
  fenced: () => boolean
  draining: () => boolean
  /** How many nodes this node sees alive. */
  nodesLive: () => number
  /** Envelopes that this node has published to the bus and received from it since its start. */
  bus: () => { published: number; received: number; malformed: number }
  /** The state of the links to other nodes. Undefined if links are off. */
  links: () => Readonly<LinkState> | undefined
  /** The counters of the integrated P2P server. Undefined while there is none. */
  stun: () => Readonly<StunCounters> | undefined
}

// How often the lag of the event loop is sampled, which is also the lag that an idle loop shows. The library's default of
// 10 ms costs an idle node half a percent of a core.
const LAG_PRECISION_MS = 20

/** Observes the process: memory, event-loop lag, garbage collection. */
export function observeProcess(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LAG_PRECISION_MS })
}

/** Observes the gauges of this node, and the counters that its components keep themselves. */
export function observeReadings(registry: Registry, readings: Readings): void {
  const gauge: ObserveGauge = (name, help, read) =>
    observeGauge(registry, { name, help, labels: [], read: () => [[{}, Number(read())]] })
  const counter = (name: string, help: string, labels: string[], read: Read): void =>
    observeCounter(registry, { name, help, labels, read })
  observeGauge(registry, {
    name: 'peerage_connections',
    help: 'Open connections.',
    labels: ['gateway'],
    read: () => [...readings.connections()].map(([gateway, count]) => [{ gateway }, count]),
  })
  observeGauge(registry, {
    name: 'peerage_app_connections',
    help: 'Connections that have been let in to an app. `other`: apps that are not listed, or beyond 100.',
    labels: ['app'],
    read: () => [...readings.apps()].map(([app, count]) => [{ app }, count]),
  })
  gauge('peerage_names', 'Names that peers of this node hold.', readings.names)
  observeAnonymous(gauge, readings.anonymous)
  gauge('peerage_ready', '1 while this node takes new peers.', readings.ready)
  gauge('peerage_fenced', '1 while this node is cut off from the cluster.', readings.fenced)
  gauge('peerage_draining', '1 while this node moves its peers to other nodes.', readings.draining)
  counter(
    'peerage_bus_envelopes_total',
    'Envelopes between nodes: published, received, and malformed ones that were dropped.',
    ['direction'],
    () => by('direction', readings.bus()),
  )
  counter(
    'peerage_bus_path_envelopes_total',
    'Envelopes to other nodes, by path: a link or the inbox in Redis. Only if links are on.',
    ['path'],
    () => by('path', readings.links()?.envelopes),
  )
  counter(
    'peerage_bus_repeated_envelopes_total',
    'Envelopes that came twice, by both paths. The second one was dropped.',
    [],
    () => [[{}, readings.links()?.repeated ?? 0]],
  )
  gauge('peerage_links', 'Open links to other nodes.', () => readings.links()?.up ?? 0)
  counter(
    'peerage_link_switches_total',
    'Switches from the inbox in Redis to a link and back, by reason.',
    ['to', 'reason'],
    () => switches(readings.links()),
  )
  counter('peerage_link_failures_total', 'Links to other nodes that could not be opened.', [], () => [
    [{}, readings.links()?.failures ?? 0],
  ])
  counter(
    'peerage_link_refusals_total',
    'Connections to the port for links that were closed because they did not prove to be a node.',
    [],
    () => [[{}, readings.links()?.refused ?? 0]],
  )
  counter(
    'peerage_stun_requests_total',
    'Requests to the integrated P2P server, by result: answered, refused, or the reason why it was dropped.',
    ['result'],
    () => by('result', stunResults(readings.stun())),
  )
  gauge('peerage_nodes_live', 'Nodes that this node sees alive.', readings.nodesLive)
}

type ObserveGauge = (name: string, help: string, read: () => number | boolean) => void

/** Above its limits, a node drops what its peers ask for. So an operator must see when it comes near them. */
function observeAnonymous(gauge: ObserveGauge, read: Readings['anonymous']): void {
  gauge('peerage_anonymous_peers', 'Peers without names that this node has let in.', () => read().peers)
  gauge(
    'peerage_anonymous_rooms',
    'Rooms of peers without names, such as topics of y-webrtc, with members on this node. At most 100,000.',
    () => read().rooms,
  )
  gauge(
    'peerage_anonymous_room_memberships',
    'Memberships of peers on this node in these rooms. At most 500,000.',
    () => read().roomMemberships,
  )
  gauge(
    'peerage_pool_memberships',
    'Memberships in pools, such as swarms of WebTorrent, of peers on this node. At most 200,000.',
    () => read().poolMemberships,
  )
}

/** Values by their labels, each from a closed set. */
type Read = () => [Record<string, string>, number][]

interface Observed {
  name: string
  help: string
  labels: string[]
  read: Read
}

// The metrics are not in the library's default registry, because one process may have two nodes.

function observeGauge(registry: Registry, { name, help, labels, read }: Observed): void {
  const metric = new Gauge({
    name,
    help,
    labelNames: labels,
    registers: [],
    collect() {
      this.reset()
      for (const [values, value] of read()) this.set(values, value)
    },
  })
  registry.registerMetric(metric)
}

/** A counter whose value is kept elsewhere. */
function observeCounter(registry: Registry, { name, help, labels, read }: Observed): void {
  const metric = new Counter({
    name,
    help,
    labelNames: labels,
    registers: [],
    collect() {
      this.reset()
      for (const [values, value] of read()) this.inc(values, value)
    },
  })
  registry.registerMetric(metric)
}

const by = (label: string, counts: Readonly<Record<string, number>> = {}): ReturnType<Read> =>
  Object.entries(counts).map(([value, count]) => [{ [label]: value }, count])

/** Switches by direction and reason. A link is opened only because two nodes exchange many messages. */
function switches(links: Readonly<LinkState> | undefined): ReturnType<Read> {
  if (links === undefined) return []
  return [
    [{ to: 'link', reason: 'busy' }, links.ups],
    ...Object.entries(links.downs).map(
      ([reason, count]) => [{ to: 'inbox', reason }, count] satisfies ReturnType<Read>[number],
    ),
  ]
}

function stunResults(
  counters: Readonly<StunCounters> | undefined,
): Readonly<Record<string, number>> | undefined {
  return counters && { answered: counters.answered, refused: counters.refused, ...counters.dropped }
}
