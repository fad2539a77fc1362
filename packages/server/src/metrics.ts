import type { Wire } from '@peerage/core'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'

/** What became of a message at this node: the router's outcomes, and its error codes. */
export type MessageResult = string

export type HandshakePath = 'direct' | 'relayed' | 'server' | 'failed'

/** What the metrics read when they are asked, rather than being told. */
export interface Readings {
  connections: () => ReadonlyMap<Wire, number>
  /** Names that this node holds. */
  names: () => number
  ready: () => boolean
  /** Nodes that this one sees alive. */
  nodesLive: () => number
  /** Envelopes that this node has handed to the bus, and taken from it, since its start. */
  bus: () => { published: number; received: number; malformed: number }
}

// A relay within a node takes microseconds, across nodes about a millisecond; a handshake up to 30 s.
const HANDSHAKE_BUCKETS_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/**
 * The node's metrics, in Prometheus' words: base units, counters that add up over nodes, histograms. No label
 * comes from a peer: wires, types, codes and reasons are closed sets.
 */
export class Metrics {
  readonly registry = new Registry()
  readonly #connects: Counter<'gateway'>
  readonly #registrations: Counter<'gateway' | 'result'>
  readonly #messages: Counter<'gateway' | 'type' | 'result'>
  readonly #messageBytes: Counter<'gateway'>
  readonly #rejections: Counter<'gateway' | 'reason'>
  readonly #closes: Counter<'gateway' | 'reason'>
  readonly #slowConsumers: Counter<'gateway'>
  readonly #handshakes: Counter<'path' | 'stage'>
  readonly #handshakeSeconds: Histogram<'path'>
  readonly #errors: Counter<'stage'>
  readonly #events: Counter<'event'>
  readonly #canaryFailures: Counter
  readonly #redisUp: Gauge

  constructor(build: { version: string; node: string }) {
    const registers = [this.registry]
    const counter = <L extends string>(
      name: string,
      help: string,
      labelNames: readonly L[] = [],
    ): Counter<L> => new Counter({ name, help, labelNames, registers })
    this.#connects = counter('peerage_connects_total', 'Connections that were opened.', ['gateway'])
    this.#registrations = counter('peerage_registrations_total', 'Claims of names, by result.', [
      'gateway',
      'result',
    ])
    this.#messages = counter(
      'peerage_messages_total',
      'Messages of local peers, by what became of them here.',
      ['gateway', 'type', 'result'],
    )
    this.#messageBytes = counter('peerage_message_bytes_total', 'Bytes of messages of local peers.', [
      'gateway',
    ])
    this.#rejections = counter(
      'peerage_rejections_total',
      'Handshakes, claims and messages that were refused.',
      ['gateway', 'reason'],
    )
    this.#closes = counter('peerage_closes_total', 'Connections that the node closed, by reason.', [
      'gateway',
      'reason',
    ])
    this.#slowConsumers = counter('peerage_slow_consumer_closes_total', 'Peers closed for not reading.', [
      'gateway',
    ])
    this.#handshakes = counter(
      'peerage_handshakes_total',
      'Outcomes of handshakes, as the SDK reports them.',
      ['path', 'stage'],
    )
    this.#handshakeSeconds = new Histogram({
      name: 'peerage_handshake_seconds',
      help: 'From connect to open, as the SDK reports it.',
      labelNames: ['path'],
      buckets: HANDSHAKE_BUCKETS_SECONDS,
      registers,
    })
    this.#errors = counter('peerage_errors_total', 'Background failures, by stage.', ['stage'])
    this.#events = counter('peerage_node_events_total', 'What happened to this node.', ['event'])
    this.#canaryFailures = counter(
      'peerage_canary_failures_total',
      'Canaries that did not come back through Redis.',
    )
    this.#redisUp = new Gauge({
      name: 'peerage_redis_up',
      help: '1 when the registry and the bus answer.',
      registers,
    })
    new Gauge({
      name: 'peerage_build_info',
      help: 'Always 1.',
      labelNames: ['version', 'node'],
      registers,
    }).set(build, 1)
  }

  /** Starts Node's own metrics (memory, event-loop lag, garbage collection) and the gauges of this node. */
  observe(readings: Readings): void {
    collectDefaultMetrics({ register: this.registry })
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
    this.#observeBus(readings.bus)
    gauge('peerage_nodes_live', 'Nodes that this one sees alive.', readings.nodesLive)
  }

  #observeBus(read: Readings['bus']): void {
    const metric = new Counter({
      name: 'peerage_bus_envelopes_total',
      help: 'Envelopes between nodes: published, received, and malformed ones that were dropped.',
      labelNames: ['direction'],
      registers: [],
      collect() {
        this.reset()
        for (const [direction, count] of Object.entries(read())) this.inc({ direction }, count)
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

  /** `type`: message, signal or ack; `result`: the router's outcome or a code. */
  routed(gateway: Wire, type: string, result: MessageResult, bytes: number): void {
    this.#messages.inc({ gateway, type, result })
    this.#messageBytes.inc({ gateway }, bytes)
  }

  /** `reason`: a code of the error table, or `origin`, `rate`, …: a closed set. */
  rejected(gateway: Wire, reason: string): void {
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
    if (stage === 'canary') this.#canaryFailures.inc()
  }

  /** The store's own word for itself: registry, bus and canary together. */
  health(healthy: boolean): void {
    this.#redisUp.set(healthy ? 1 : 0)
  }

  happened(event: string): void {
    this.#events.inc({ event })
  }
}
