import type { Clock, Timer, Wire } from '@peerage/core'
import type { GatewayLog, GatewayMetrics } from './events.js'

/** How often drops are summed up in the log, so that a flood of frames does not become a flood of log lines. */
const SUMMARY_MS = 10_000

/** Counts dropped frames of the peers of a wire, and logs them: the first of a kind at once, the rest as one count. */
export class Drops {
  readonly #wire: Wire
  readonly #log: GatewayLog
  readonly #metrics: GatewayMetrics
  readonly #clock: Clock
  readonly #counts = new Map<string, number>()
  #timer: Timer | undefined

  constructor(wire: Wire, options: { log: GatewayLog; metrics: GatewayMetrics; clock: Clock }) {
    this.#wire = wire
    this.#log = options.log
    this.#metrics = options.metrics
    this.#clock = options.clock
  }

  /** `what` must come from a closed set, because it is the label of a metric. */
  dropped(what: string, details: Record<string, unknown> = {}): void {
    this.#metrics.rejected(this.#wire, what)
    const count = this.#counts.get(what)
    if (count !== undefined) {
      this.#counts.set(what, count + 1)
      return
    }
    this.#counts.set(what, 0)
    this.#log('dropped', { wire: this.#wire, what, ...details })
    this.#timer ??= this.#clock.after(SUMMARY_MS, () => this.#summarize())
  }

  stop(): void {
    this.#timer?.cancel()
    this.#summarize()
  }

  #summarize(): void {
    this.#timer = undefined
    for (const [what, more] of this.#counts)
      if (more > 0) this.#log('dropped', { wire: this.#wire, what, more })
    this.#counts.clear()
  }
}
