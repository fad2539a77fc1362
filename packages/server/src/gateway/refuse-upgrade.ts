import type { Duplex } from 'node:stream'

export interface UpgradeRefusal {
  /** Status code and phrase, as in RFC 9110 §15: `403 Forbidden`. */
  status: string
  /** For the developer on the other side; absent: no body. */
  detail?: string
  retryAfterMs?: number
}

/** A peer that keeps its half of a refused connection open is cut after this long. */
const LINGER_MS = 2_000

/**
 * Answers an upgrade that is refused, and ends its socket. Node hands the socket over without any `error` listener,
 * so a reset by the other side would end the process: whoever answers an upgrade by itself answers it here.
 *
 *     refuseUpgrade(socket, { status: '403 Forbidden', detail: 'this origin may not connect' })
 */
export function refuseUpgrade(socket: Duplex, refusal: UpgradeRefusal): void {
  const { status, detail, retryAfterMs } = refusal
  ignoreErrors(socket)
  const body = detail === undefined ? '' : JSON.stringify({ detail })
  const head = [
    `HTTP/1.1 ${status}`,
    'Connection: close',
    ...(detail === undefined ? [] : ['Content-Type: application/json']),
    ...(retryAfterMs === undefined ? [] : [`Retry-After: ${Math.ceil(retryAfterMs / 1_000)}`]),
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref()
  socket.once('close', () => clearTimeout(timer))
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  // What the other side still sends is read and dropped, so that its end is seen.
  socket.resume()
}

/** A socket that nobody answers any more: an error of it ends it, and concerns nobody else. */
export function ignoreErrors(socket: Duplex): void {
  socket.on('error', ignore)
}

function ignore(): void {}
