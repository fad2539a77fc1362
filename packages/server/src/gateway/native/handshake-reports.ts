import type { Clock } from '@peerage/core'
import type { PeerMessageOf } from '@peerage/protocol'
import { TokenBucket } from '../../lib/token-bucket.js'
import type { GatewayLog, GatewayMetrics } from '../shared/events.js'

/** Twice as many at once: a peer of a mesh has a handshake with each of the others. */
const REPORTS_PER_SECOND = 10
/** Of all peers: who looks into a handshake finds it, and a crowd does not fill the disk. */
const LINES_PER_SECOND = 50

/** What peers say of how their handshakes ended, for the metrics and the log [WR9]. */
export class HandshakeReports {
  readonly #clock: Clock
  readonly #metrics: Pick<GatewayMetrics, 'handshake' | 'rejected'>
  readonly #log: GatewayLog
  readonly #lines: TokenBucket
  /** Counted, but not logged. */
  #unsaid = 0

  constructor(options: {
    clock: Clock
    metrics: Pick<GatewayMetrics, 'handshake' | 'rejected'>
    log: GatewayLog
  }) {
    this.#clock = options.clock
    this.#metrics = options.metrics
    this.#log = options.log
    this.#lines = new TokenBucket(LINES_PER_SECOND, options.clock.monotonic())
  }

  take(from: { reports?: TokenBucket }, report: PeerMessageOf<'report'>): void {
    const now = this.#clock.monotonic()
    from.reports ??= new TokenBucket(REPORTS_PER_SECOND, now)
    if (from.reports.take(1, now) > 0) {
      this.#metrics.rejected('native', 'rate-limited')
      return
    }
    const { handshake, path, stage, ms } = report
    this.#metrics.handshake(path, stage, ms)
    if (this.#lines.take(1, now) > 0) {
      this.#unsaid++
      return
    }
    const unsaid = this.#unsaid > 0 ? { unsaid: this.#unsaid } : {}
    this.#unsaid = 0
    this.#log('handshake', { handshake, path, stage, ms, ...unsaid })
  }
}
