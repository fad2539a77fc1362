import type { Wire } from '@peerage/core'

/** What gateways count; closed sets only, nothing that a peer chose. */
export interface GatewayMetrics {
  connected(wire: Wire): void
  /** `result`: `ok`, `reclaimed`, or the code of the refusal. */
  registered(wire: Wire, result: string): void
  /** `ms`: how long its way had to be looked up, or Redis was waited for; absent: its outcome was known at once. */
  routed(wire: Wire, kind: string, result: string, bytes: number, ms?: number): void
  /** `none`: nobody's path. */
  rejected(wire: Wire | 'none', reason: string): void
  closed(wire: Wire, reason: string): void
  handshake(path: 'direct' | 'relayed' | 'failed', stage: string | undefined, ms: number): void
}

/** One line for the log, and its details. */
export type GatewayLog = (event: string, details: Record<string, unknown>) => void
