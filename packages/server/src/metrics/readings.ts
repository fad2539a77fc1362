import type { Wire } from '@peerage/core'
import type { LinkState } from '@peerage/node-links'
import type { StunCounters } from '@peerage/stun'
import { collectDefaultMetrics, Counter, Gauge, type Registry } from 'prom-client'

/** What the metrics read when they are asked, rather than being told. */
export interface Readings {
  connections: () => ReadonlyMap<Wire, number>
  /** Names that this node holds. */
  names: () => number
  ready: () => boolean
  /** Cut off from the cluster: it could not renew its own lease in time [I12]. */
  fenced: () => boolean
  draining: () => boolean
  /** Nodes that this one sees alive. */
  nodesLive: () => number
  /** Envelopes that this node has handed to the bus, and taken from it, since its start. */
  bus: () => { published: number; received: number; malformed: number }
  /** The direct connections to other nodes, where the configuration asks for them. */
  links: () => Readonly<LinkState> | undefined
  /** The integrated P2P server's counters, while there is one. */
  stun: () => Readonly<StunCounters> | undefined
}

// How often the event loop's lag is sampled, and what an idle loop's lag reads as. Every 10 ms, as the library has it,
// costs an idle node half a percent of a core.
const LAG_PRECISION_MS = 20

/** Node's own: memory, event-loop lag, garbage collection. */
export function observeProcess(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LAG_PRECISION_MS })
}

/** What this node holds, and the counters that its parts keep themselves. */
export function observeReadings(registry: Registry, readings: Readings): void {
  const gauge = (name: string, help: string, read: () => number | boolean): void =>
    observeGauge(registry, { name, help, labels: [], read: () => [[{}, Number(read())]] })
  const counter = (name: string, help: string, labels: string[], read: Read): void =>
    observeCounter(registry, { name, help, labels, read })
  observeGauge(registry, {
    name: 'peerage_connections',
    help: 'Open connections.',
    labels: ['gateway'],
    read: () => [...readings.connections()].map(([gateway, count]) => [{ gateway }, count]),
  })
  gauge('peerage_names', 'Names that peers of this node hold.', readings.names)
  gauge('peerage_ready', '1 when this node takes new peers.', readings.ready)
  gauge('peerage_fenced', '1 while this node is cut off from the cluster.', readings.fenced)
  gauge('peerage_draining', '1 while this node moves its peers to others.', readings.draining)
  counter(
    'peerage_bus_envelopes_total',
    'Envelopes between nodes: published, received, and malformed ones that were dropped.',
    ['direction'],
    () => by('direction', readings.bus()),
  )
  counter(
    'peerage_bus_path_envelopes_total',
    'Envelopes to other nodes where links are on: by a link, or by the inbox in Redis.',
    ['path'],
    () => by('path', readings.links()?.envelopes),
  )
  counter(
    'peerage_bus_repeated_envelopes_total',
    'Envelopes that came a second time, by the other path, and were dropped.',
    [],
    () => [[{}, readings.links()?.repeated ?? 0]],
  )
  gauge('peerage_links', 'Links to other nodes that stand.', () => readings.links()?.up ?? 0)
  counter(
    'peerage_link_switches_total',
    'From the inbox in Redis to a link, and back; by reason.',
    ['to', 'reason'],
    () => switches(readings.links()),
  )
  counter('peerage_link_failures_total', 'Links to other nodes that could not be made.', [], () => [
    [{}, readings.links()?.failures ?? 0],
  ])
  counter(
    'peerage_link_refusals_total',
    'Connections to the port for links that were closed without a proof.',
    [],
    () => [[{}, readings.links()?.refused ?? 0]],
  )
  counter(
    'peerage_stun_requests_total',
    'What the integrated P2P server did with what came: answered it, or dropped it and why.',
    ['result'],
    () => by('result', stunResults(readings.stun())),
  )
  gauge('peerage_nodes_live', 'Nodes that this one sees alive.', readings.nodesLive)
}

/** Values by their labels, each from a closed set. */
type Read = () => [Record<string, string>, number][]

interface Observed {
  name: string
  help: string
  labels: string[]
  read: Read
}

// Not in the library's own registry: two nodes may live in one process.

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

/** A counter that somebody else keeps. */
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

/** A link is made where there is much to send: there is no other reason. */
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
