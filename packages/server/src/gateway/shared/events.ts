import type { Wire } from '@peerage/core'
import type { App } from '@peerage/protocol'

/** The events that gateways count. Every label is from a closed set, never a text that a peer chose. */
export interface GatewayMetrics {
  connected(wire: Wire): void
  /** `result`: `ok`, `reclaimed`, or the code of the refusal. */
  registered(wire: Wire, result: string): void
  /** `ms`: how long the route lookup took, or how long Redis was waited for. Absent if the outcome was known at once. */
  routed(wire: Wire, kind: string, result: string, bytes: number, ms?: number): void
  /** `wire` is `none` when no gateway takes upgrades at the path. */
  rejected(wire: Wire | 'none', reason: string): void
  closed(wire: Wire, reason: string): void
  /** A message or request of a peer of an app. `label` is the label of its policy. `isOk`: it was allowed, and within the rates. */
  appRouted(label: string, isOk: boolean): void
  /** A peer was refused at its claim, or its new token was. `reason` is an error code. */
  appRefused(label: string, reason: string): void
  handshake(path: 'direct' | 'relayed' | 'failed', stage: string | undefined, ms: number): void
}

/** An access that was refused. It has no name, no token and no key, because it goes to the log. */
export interface AccessRefusal {
  wire: Wire
  /** The error code of the refusal, or `origin`. */
  code: string
  /** The app that the peer asked for. Absent if it is not served, or not known yet. */
  app?: App | undefined
  /** What the peer was told. Absent if the application wrote it, because it may hold a name. */
  detail?: string | undefined
  /** The Origin header, if there was one. */
  origin?: string | undefined
}

/** Logs a refused access. */
export type OnRefused = (refusal: AccessRefusal) => void

/** Writes one line to the log, with its details. */
export type GatewayLog = (event: string, details: Record<string, unknown>) => void
