import type { Duplex } from 'node:stream'
import type { Clock, Wire } from '@peerage/core'
import type { Refusal } from './limits.js'
import type { GatewayMetrics } from './events.js'

/** Why an upgrade is refused, for the HTTP answer and for the metrics. */
export interface UpgradeRefusal {
  status: '400 Bad Request' | '403 Forbidden' | '404 Not Found' | '503 Service Unavailable'
  /** The label of the counter, from a closed set. */
  reason: string
  detail: string
  retryAfterMs?: number | undefined
}

export interface RefusalOptions {
  clock: Clock
  metrics: Pick<GatewayMetrics, 'rejected'>
}

export const WRONG_ORIGIN: UpgradeRefusal = {
  status: '403 Forbidden',
  reason: 'origin',
  detail: 'this origin may not connect',
}

/** After this time a balancer has seen that this node is not ready, and picks another one. */
export const DRAIN_RETRY_MS = 1_000

export const DRAINING: UpgradeRefusal = {
  status: '503 Service Unavailable',
  reason: 'draining',
  detail: 'this node is shutting down; connect to another one',
  retryAfterMs: DRAIN_RETRY_MS,
}

export function overLimit({ reason, retryAfterMs }: Refusal): UpgradeRefusal {
  return { status: '503 Service Unavailable', reason, detail: reason, retryAfterMs }
}

/** How long the other end has to read the answer and to end its half. Then the socket is destroyed. */
const LINGER_MS = 1_000

/**
 * Answers an upgrade with an HTTP status instead of 101, and ends the socket. Every refusal goes through this function,
 * because Node hands over the socket of an upgrade without listeners, and a reset without an `error` listener would end
 * the process.
 */
export function refuseUpgrade(
  socket: Duplex,
  wire: Wire | 'none',
  refusal: UpgradeRefusal,
  { clock, metrics }: RefusalOptions,
): void {
  const { status, reason, detail, retryAfterMs } = refusal
  // A reset needs no action: `close` follows.
  socket.on('error', () => {})
  metrics.rejected(wire, reason)
  endSoon(socket, clock)
  const retry = retryAfterMs === undefined ? '' : `Retry-After: ${Math.ceil(retryAfterMs / 1_000)}\r\n`
  const body = JSON.stringify({ detail })
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/json\r\n${retry}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

/** Destroys a socket soon, after its last answer is written or is about to be. */
export function endSoon(socket: Duplex, clock: Clock): void {
  const late = clock.after(LINGER_MS, () => socket.destroy())
  socket.once('close', () => late.cancel())
  // Discard what still arrives. Left unread, it would hide the end of the other half.
  socket.resume()
}
