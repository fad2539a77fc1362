import type { Wire } from '@peerage/core'
import type { StunCounters } from '@peerage/stun'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'

/** What became of a message at this node: the router's outcomes, and its error codes. */
export type MessageResult = string

export type HandshakePath = 'direct' | 'relayed' | 'failed'

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
  /** The integrated P2P server's counters, while there is one. */
  stun: () => Readonly<StunCounters> | undefined
}

// A relay within a node takes microseconds, across nodes about a millisecond; a handshake up to 30 s.
const HANDSHAKE_BUCKETS_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
// How often the event loop's lag is sampled, and what an idle loop's lag reads as. Every 10 ms, as the library has it,
// costs an idle node half a percent of a core.
const LAG_PRECISION_MS = 20
// A look-up or a publish takes some hundred microseconds; a command has failed after times.commandMs (0.8 s).
const REDIS_BUCKETS_SECONDS = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

/**
 * The node's metrics, in Prometheus' words: base units, counters that add up over nodes, histograms. No label
 * comes from a peer: wires, types, codes and reasons are closed sets.
 */
export class Metrics {
  readonly registry = new Registry()
  readonly #counts = new MessageCounts()
  readonly #connects = this.#counter('peerage_connects_total', 'Connections that were opened.', ['gateway'])
  readonly #registrations = this.#counter('peerage_registrations_total', 'Claims of names, by result.', [
    'gateway',
    'result',
  ])
  readonly #messages = this.#counter(
    'peerage_messages_total',
    'Messages of local peers, by what became of them here.',
    ['gateway', 'type', 'result'],
    () => this.#flushCounts(),
  )
  readonly #messageBytes = this.#counter(
    'peerage_message_bytes_total',
    'Bytes of messages of local peers.',
    ['gateway'],
    () => this.#flushCounts(),
  )
  readonly #rejections = this.#counter(
    'peerage_rejections_total',
    'Handshakes, claims and messages that were refused.',
    ['gateway', 'reason'],
  )
  readonly #closes = this.#counter('peerage_closes_total', 'Connections that the node closed, by reason.', [
    'gateway',
    'reason',
  ])
  readonly #slowConsumers = this.#counter(
    'peerage_slow_consumer_closes_total',
    'Peers closed for not reading.',
    ['gateway'],
  )
  readonly #handshakes = this.#counter(
    'peerage_handshakes_total',
    'Outcomes of handshakes, as the SDK reports them.',
    ['path', 'stage'],
  )
  readonly #handshakeSeconds = new Histogram({
    name: 'peerage_handshake_seconds',
    help: 'From connect to open, as the SDK reports it.',
    labelNames: ['path'],
    buckets: HANDSHAKE_BUCKETS_SECONDS,
    registers: [this.registry],
  })
  readonly #errors = this.#counter('peerage_errors_total', 'Background failures, by stage.', ['stage'])
  readonly #events = this.#counter('peerage_node_events_total', 'What happened to this node.', ['event'])
  readonly #canaryFailures = this.#counter(
    'peerage_canary_failures_total',
    'Canaries that did not come back through Redis before the next one was due.',
  )
  readonly #busLagSeconds = new Histogram({
    name: 'peerage_bus_lag_seconds',
    help: 'From here through Redis and back, as the canaries fly it on each beat.',
    buckets: REDIS_BUCKETS_SECONDS,
    registers: [this.registry],
  })
  readonly #routingSeconds = new Histogram({
    name: 'peerage_routing_seconds',
    help: 'Of messages and signals that needed a look-up or the bus: from their frame to their outcome at this node.',
    labelNames: ['gateway'],
    buckets: REDIS_BUCKETS_SECONDS,
    registers: [this.registry],
  })
  readonly #redisUp = new Gauge({
    name: 'peerage_redis_up',
    help: '1 when the registry and the bus answer.',
    registers: [this.registry],
  })

  constructor(build: { version: string; node: string }) {
    new Gauge({
      name: 'peerage_build_info',
      help: 'Always 1.',
      labelNames: ['version', 'node'],
      registers: [this.registry],
    }).set(build, 1)
  }

  #counter<L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
    collect?: () => void,
  ): Counter<L> {
    return new Counter({
      name,
      help,
      labelNames,
      registers: [this.registry],
      ...(collect === undefined ? {} : { collect }),
    })
  }

  #flushCounts(): void {
    this.#counts.flushTo(this.#messages, this.#messageBytes)
  }

  /** Starts Node's own metrics (memory, event-loop lag, garbage collection) and the gauges of this node. */
  observe(readings: Readings): void {
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: LAG_PRECISION_MS })
    // Not the library's own registry: two nodes may live in one process.
    const connections = new Gauge({
      name: 'peerage_connections',
      help: 'Open connections.',
      labelNames: ['gateway'],
      registers: [],
      collect() {
        this.reset()
        for (const [gateway, count] of readings.connections()) this.set({ gateway }, count)
      },
    })
    this.registry.registerMetric(connections)
    const gauge = (name: string, help: string, read: () => number | boolean): void => {
      const metric = new Gauge({
        name,
        help,
        registers: [],
        collect() {
          this.set(Number(read()))
        },
      })
      this.registry.registerMetric(metric)
    }
    gauge('peerage_names', 'Names that peers of this node hold.', readings.names)
    gauge('peerage_ready', '1 when this node takes new peers.', readings.ready)
    gauge('peerage_fenced', '1 while this node is cut off from the cluster.', readings.fenced)
    gauge('peerage_draining', '1 while this node moves its peers to others.', readings.draining)
    this.#observeMap(
      'peerage_bus_envelopes_total',
      'Envelopes between nodes: published, received, and malformed ones that were dropped.',
      'direction',
      () => Object.entries(readings.bus()),
    )
    this.#observeMap(
      'peerage_stun_requests_total',
      'What the integrated P2P server did with what came: answered it, or dropped it and why.',
      'result',
      () => stunResults(readings.stun()),
    )
    gauge('peerage_nodes_live', 'Nodes that this one sees alive.', readings.nodesLive)
  }

  /** A counter that somebody else keeps, by one label of a closed set. */
  #observeMap(name: string, help: string, label: string, read: () => Iterable<[string, number]>): void {
    const metric = new Counter({
      name,
      help,
      labelNames: [label],
      registers: [],
      collect() {
        this.reset()
        for (const [value, count] of read()) this.inc({ [label]: value }, count)
      },
    })
    this.registry.registerMetric(metric)
  }

  connected(gateway: Wire): void {
    this.#connects.inc({ gateway })
  }

  /** `result`: `ok`, `reclaimed`, or the code of the refusal. */
  registered(gateway: Wire, result: string): void {
    this.#registrations.inc({ gateway, result })
  }

  /** `type`: message, signal or ack; `result`: the router's outcome or a code; `ms`: what it was waited for. */
  routed(gateway: Wire, type: string, result: MessageResult, bytes: number, ms?: number): void {
    this.#counts.add(gateway, type, result, bytes)
    if (ms !== undefined) this.#routingSeconds.observe({ gateway }, ms / 1_000)
  }

  /** `reason`: a code of the error table, or `origin`, `rate`, …: a closed set. */
  rejected(gateway: Wire | 'none', reason: string): void {
    this.#rejections.inc({ gateway, reason })
  }

  closed(gateway: Wire, reason: string): void {
    this.#closes.inc({ gateway, reason })
    if (reason === 'slow-consumer') this.#slowConsumers.inc({ gateway })
  }

  handshake(path: HandshakePath, stage: string | undefined, ms: number): void {
    this.#handshakes.inc({ path, stage: stage ?? 'open' })
    this.#handshakeSeconds.observe({ path }, ms / 1_000)
  }

  failed(stage: string): void {
    this.#errors.inc({ stage })
  }

  canary(canary: { heard: true; lagMs: number } | { heard: false }): void {
    if (canary.heard) this.#busLagSeconds.observe(canary.lagMs / 1_000)
    else this.#canaryFailures.inc()
  }

  happened(event: string, details: Record<string, unknown>): void {
    this.#events.inc({ event })
    // The store's own word for itself: registry, bus and canary together.
    if (event === 'health') this.#redisUp.set(details['healthy'] === true ? 1 : 0)
  }
}

function stunResults(counters: Readonly<StunCounters> | undefined): [string, number][] {
  if (counters === undefined) return []
  return [['answered', counters.answered], ['refused', counters.refused], ...Object.entries(counters.dropped)]
}

interface Tally {
  count: number
  bytes: number
}

/**
 * Counts messages by wire, type and result as plain numbers, and hands them to the library when it is asked: the
 * library hashes the labels of each count, and that was a tenth of what relaying a message costs.
 */
class MessageCounts {
  readonly #tallies = new Map<Wire, Map<string, Map<string, Tally>>>()

  add(wire: Wire, type: string, result: string, bytes: number): void {
    const tally = this.#tallies.get(wire)?.get(type)?.get(result) ?? this.#make(wire, type, result)
    tally.count++
    tally.bytes += bytes
  }

  /** What has come since the last time. */
  flushTo(messages: Counter<'gateway' | 'type' | 'result'>, bytes: Counter<'gateway'>): void {
    for (const [gateway, types] of this.#tallies)
      for (const [type, results] of types)
        for (const [result, tally] of results) {
          messages.inc({ gateway, type, result }, tally.count)
          bytes.inc({ gateway }, tally.bytes)
          tally.count = 0
          tally.bytes = 0
        }
  }

  #make(wire: Wire, type: string, result: string): Tally {
    const types = this.#tallies.get(wire) ?? new Map<string, Map<string, Tally>>()
    const results = types.get(type) ?? new Map<string, Tally>()
    const tally = { count: 0, bytes: 0 }
    this.#tallies.set(wire, types.set(type, results.set(result, tally)))
    return tally
  }
}
