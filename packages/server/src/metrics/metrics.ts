import type { Wire } from '@peerage/core'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { observeProcess, observeReadings, type Readings } from './readings.js'

/** The outcome of a message at this node: an outcome of the router, or an error code. */
export type MessageResult = string

export type HandshakePath = 'direct' | 'relayed' | 'failed'

// A handshake takes up to 30 s.
const HANDSHAKE_BUCKETS_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
// A lookup or a publish takes a few hundred microseconds. A command has failed after times.commandMs (0.8 s).
const REDIS_BUCKETS_SECONDS = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

/**
 * The metrics of a node, by the conventions of Prometheus: base units, counters that add up over nodes, histograms. No
 * label comes from a peer: wires, types, codes and reasons are closed sets.
 */
export class Metrics {
  readonly registry = new Registry()
  readonly #counts = new MessageCounts()
  readonly #appCounts = new AppCounts()
  readonly #connects = this.#counter('peerage_connects_total', 'Connections that were opened.', ['gateway'])
  readonly #registrations = this.#counter(
    'peerage_registrations_total',
    'Peers that asked to come in, with a name or without one, by result.',
    ['gateway', 'result'],
  )
  readonly #messages = this.#counter(
    'peerage_messages_total',
    'Messages of local peers, by their outcome at this node.',
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
    'Peers that were closed because they did not read.',
    ['gateway'],
  )
  readonly #handshakes = this.#counter(
    'peerage_handshakes_total',
    'Outcomes of handshakes, as the SDK reports them.',
    ['path', 'stage'],
  )
  readonly #handshakeSeconds = new Histogram({
    name: 'peerage_handshake_seconds',
    help: 'Time from connect to open, as the SDK reports it.',
    labelNames: ['path'],
    buckets: HANDSHAKE_BUCKETS_SECONDS,
    registers: [this.registry],
  })
  readonly #appMessages = this.#counter(
    'peerage_app_messages_total',
    'Messages of local peers of an app, by result: ok or refused. `other`: apps that are not listed, or beyond 100.',
    ['app', 'result'],
    () => this.#flushCounts(),
  )
  readonly #appRefusals = this.#counter(
    'peerage_app_refusals_total',
    'What was refused to peers of an app, by reason.',
    ['app', 'reason'],
  )
  readonly #reloads = this.#counter(
    'peerage_reloads_total',
    'How often the settings were read again, by result: ok, or failed if the former ones stayed.',
    ['result'],
  )
  readonly #apiRequests = this.#counter(
    'peerage_api_requests_total',
    'Requests of application servers to the API, by operation and HTTP status. `none`: there is no such operation.',
    ['operation', 'status'],
  )
  readonly #errors = this.#counter('peerage_errors_total', 'Failures in the background, by stage.', ['stage'])
  readonly #events = this.#counter(
    'peerage_node_events_total',
    'Events of this node, such as lapsed, health and link down.',
    ['event'],
  )
  readonly #canaryFailures = this.#counter(
    'peerage_canary_failures_total',
    'Canaries (test messages to itself) that did not come back through Redis before the next one was due.',
  )
  readonly #busLagSeconds = new Histogram({
    name: 'peerage_bus_lag_seconds',
    help: 'Time of a canary (a test message to itself, on each beat) through Redis and back.',
    buckets: REDIS_BUCKETS_SECONDS,
    registers: [this.registry],
  })
  readonly #routingSeconds = new Histogram({
    name: 'peerage_routing_seconds',
    help: 'Time from the frame to the outcome at this node, for messages and signals that needed a lookup or the bus.',
    labelNames: ['gateway'],
    buckets: REDIS_BUCKETS_SECONDS,
    registers: [this.registry],
  })
  readonly #redisUp = new Gauge({
    name: 'peerage_redis_up',
    help: '1 while the registry and the bus answer.',
    registers: [this.registry],
  })

  constructor(build: { version: string; node: string }) {
    new Gauge({
      name: 'peerage_build_info',
      help: 'Always 1. The labels are the versions of Peerage and of Node.',
      labelNames: ['version', 'node'],
      registers: [this.registry],
    }).set(build, 1)
    // Alerts ask for an increase. Of a series that begins with 1, Prometheus sees none.
    this.#reloads.inc({ result: 'failed' }, 0)
    this.#events.inc({ event: 'lapsed' }, 0)
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
    this.#appCounts.flushTo(this.#appMessages)
  }

  /** Starts Node's own metrics (memory, event-loop lag, garbage collection) and the gauges of this node. */
  observe(readings: Readings): void {
    observeProcess(this.registry)
    observeReadings(this.registry, readings)
    // A series that begins with 1 shows no increase, so each wire that is on begins with 0.
    for (const gateway of readings.connections().keys()) {
      this.#connects.inc({ gateway }, 0)
      this.#slowConsumers.inc({ gateway }, 0)
    }
  }

  connected(gateway: Wire): void {
    this.#connects.inc({ gateway })
  }

  /** `result` is `ok`, `reclaimed`, or the code of the refusal. */
  registered(gateway: Wire, result: string): void {
    this.#registrations.inc({ gateway, result })
  }

  /** `type` is message, signal, ack or room. `result` is the router's outcome or a code. `ms` is how long it took. */
  routed(gateway: Wire, type: string, result: MessageResult, bytes: number, ms?: number): void {
    this.#counts.add(gateway, type, result, bytes)
    if (ms !== undefined) this.#routingSeconds.observe({ gateway }, ms / 1_000)
  }

  /** `reason` is a code of the error table, or `origin`, `rate` and others. It is from a closed set. */
  rejected(gateway: Wire | 'none', reason: string): void {
    this.#rejections.inc({ gateway, reason })
  }

  closed(gateway: Wire, reason: string): void {
    this.#closes.inc({ gateway, reason })
    if (reason === 'slow-consumer') this.#slowConsumers.inc({ gateway })
  }

  /** `label` is the label of an app. `isOk`: a message of it was delivered or forwarded. */
  appRouted(label: string, isOk: boolean): void {
    this.#appCounts.add(label, isOk)
  }

  /** `reason` is an error code. */
  appRefused(app: string, reason: string): void {
    this.#appRefusals.inc({ app, reason })
  }

  reloaded(result: 'ok' | 'failed'): void {
    this.#reloads.inc({ result })
  }

  handshake(path: HandshakePath, stage: string | undefined, ms: number): void {
    this.#handshakes.inc({ path, stage: stage ?? 'open' })
    this.#handshakeSeconds.observe({ path }, ms / 1_000)
  }

  apiAnswered(operation: string, status: number): void {
    this.#apiRequests.inc({ operation, status })
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
    // The store reports its own health: registry, bus and canary together.
    if (event === 'health') this.#redisUp.set(details['healthy'] === true ? 1 : 0)
  }
}

interface Tally {
  count: number
  bytes: number
}

/**
 * Counts messages by wire, type and result as plain numbers, and passes them to the metrics library on each scrape. The
 * library hashes the labels for each count, which took a tenth of the cost of relaying a message.
 */
class MessageCounts {
  readonly #tallies = new Map<Wire, Map<string, Map<string, Tally>>>()

  add(wire: Wire, type: string, result: string, bytes: number): void {
    const tally = this.#tallies.get(wire)?.get(type)?.get(result) ?? this.#make(wire, type, result)
    tally.count++
    tally.bytes += bytes
  }

  /** Adds the counts since the last call to the metrics. */
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

/** Counts the messages of apps as plain numbers, for the same reason. */
class AppCounts {
  readonly #tallies = new Map<string, { ok: number; refused: number }>()

  add(label: string, isOk: boolean): void {
    let tally = this.#tallies.get(label)
    if (tally === undefined) this.#tallies.set(label, (tally = { ok: 0, refused: 0 }))
    tally[isOk ? 'ok' : 'refused']++
  }

  flushTo(messages: Counter<'app' | 'result'>): void {
    for (const [app, tally] of this.#tallies) {
      for (const result of ['ok', 'refused'] as const) messages.inc({ app, result }, tally[result])
      tally.ok = 0
      tally.refused = 0
    }
  }
}
