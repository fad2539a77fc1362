import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Ending } from '@peerage/core'
import { asBase } from '../../config/kinds.js'
import { Drops } from '../shared/drops.js'
import type { Arrival } from '../shared/gateway.js'
import { WebSocketGateway } from '../shared/gateway.js'
import type { PeerJsHost } from './connection.js'
import { PeerJsConnection } from './connection.js'
import { PeerJsEntry } from './entry.js'
import { PeerJsFrames } from './frames.js'
import { PeerJsHttp } from './http.js'
import type { PeerJsGatewayOptions } from './options.js'

/** The PeerJS wire over WebSocket at `{path}/peerjs`. SPEC: packages/server/SPEC.md, rules PJ1 to PJ24. */
export class PeerJsGateway extends WebSocketGateway<PeerJsConnection> implements PeerJsHost {
  readonly drops: Drops
  readonly frames: PeerJsFrames
  readonly frameBytes: number
  readonly #entry: PeerJsEntry
  readonly #http: PeerJsHttp

  constructor(options: PeerJsGatewayOptions) {
    const { path, aliveMs, frameBytes } = options
    const base = asBase(path)
    const pingIntervalMs = Math.min(options.pingIntervalMs, Math.ceil((aliveMs * 2) / 3))
    super(options, {
      wire: 'peerjs',
      endpoint: { path: `${base}peerjs`, setting: 'peerjs.path' },
      frameBytes,
      bufferedBytes: options.bufferedBytes,
      pingIntervalMs,
      pingTimeoutMs: Math.min(options.pingTimeoutMs, Math.max(1, aliveMs - pingIntervalMs)),
    })
    this.frameBytes = frameBytes
    this.drops = new Drops(this.wire, options)
    this.frames = new PeerJsFrames({ ...options, drops: this.drops })
    const { frames, accessEnds } = this
    this.#entry = new PeerJsEntry({ ...options, frames, accessEnds })
    this.#http = new PeerJsHttp({ ...options, base })
  }

  /** Returns true when the request is ours and has been or will be answered. */
  handleRequest(request: IncomingMessage, response: ServerResponse): boolean {
    return this.#http.handle(request, response)
  }

  override ended(connection: PeerJsConnection, code: number): void {
    this.#entry.left(connection)
    super.ended(connection, code)
  }

  override stop(): void {
    super.stop()
    this.drops.stop()
  }

  protected connectionOf(arrival: Arrival): PeerJsConnection {
    return new PeerJsConnection(arrival, this)
  }

  protected opened(connection: PeerJsConnection, { request }: Arrival): void {
    this.#entry.enter(connection, request)
  }

  /**
   * A close frame of the peer frees its name, because the page was left or reloaded. A peer that goes while its socket
   * opens cannot send a close frame, and has not read OPEN [PJ10].
   */
  protected endingOf(connection: PeerJsConnection, wasCut: boolean): Ending {
    const { reason, spoke } = connection
    if (!wasCut) return 'left'
    return !spoke && (reason === undefined || reason === 'ping-timeout') ? 'gave-up' : 'dropped'
  }
}
