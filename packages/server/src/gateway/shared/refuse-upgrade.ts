import type { Duplex } from 'node:stream'
import type { Clock, Wire } from '@peerage/core'
import type { Refusal } from './limits.js'
import type { GatewayMetrics } from './events.js'

/** Why an upgrade is not taken: as HTTP says it, and as it is counted. */
export interface UpgradeRefusal {
  status: '400 Bad Request' | '403 Forbidden' | '404 Not Found' | '503 Service Unavailable'
  /** For the counter: one of a closed set. */
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

/** By then a balancer has seen that this node is not ready, and takes another. */
export const DRAIN_RETRY_MS = 1_000

export const DRAINING: UpgradeRefusal = {
  status: '503 Service Unavailable',
  reason: 'draining',
  detail: 'this node is about to stop; connect again, to another',
  retryAfterMs: DRAIN_RETRY_MS,
}

export const UNKNOWN_PATH: UpgradeRefusal = {
  status: '404 Not Found',
  reason: 'path',
  detail: 'nobody takes a WebSocket at this path',
}

export function overLimit({ reason, retryAfterMs }: Refusal): UpgradeRefusal {
  return { status: '503 Service Unavailable', reason, detail: reason, retryAfterMs }
}

/** The other end has so long to read the answer and to end its half; then the socket is destroyed. */
const LINGER_MS = 1_000

/**
 * Answers an upgrade with an HTTP status in place of 101, and ends the socket: the one way for all entrances. Node hands
 * over the socket of an upgrade without any listener, and a reset that nobody listens for ends the process.
 */
export function refuseUpgrade(
  socket: Duplex,
  wire: Wire | 'none',
  refusal: UpgradeRefusal,
  { clock, metrics }: RefusalOptions,
): void {
  const { status, reason, detail, retryAfterMs } = refusal
  // A reset is one way to take the answer; `close` follows.
  socket.on('error', () => {})
  metrics.rejected(wire, reason)
  endSoon(socket, clock)
  const retry = retryAfterMs === undefined ? '' : `Retry-After: ${Math.ceil(retryAfterMs / 1_000)}\r\n`
  const body = JSON.stringify({ detail })
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/json\r\n${retry}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

/** For a socket whose last answer is written, or about to be. */
export function endSoon(socket: Duplex, clock: Clock): void {
  const late = clock.after(LINGER_MS, () => socket.destroy())
  socket.once('close', () => late.cancel())
  // What still arrives is thrown away: unread, it would keep the end of the other half from being seen.
  socket.resume()
}
