import type { IncomingHttpHeaders } from 'node:http'
import type { AnonymousSession, Ending, OnError, OnlineSession } from '@peerage/core'
import type { CloseReason, Parsed } from '@peerage/protocol'
import type { CloseOptions } from './connection.js'
import { Drops } from './drops.js'
import type { Arrival, GatewayOptions, WireOptions } from './gateway.js'
import { WebSocketGateway } from './gateway.js'
import type { UpgradeRefusal } from './refuse-upgrade.js'
import type { Turnable, UrlConnection, UrlHost } from './url-connection.js'
import type { UrlCredentials } from './url-credentials.js'
import { splitUrl } from './url-credentials.js'
import { UrlEntry } from './url-entry.js'

/**
 * A peer that is turned away is closed after this time, and at most twice this time. y-webrtc connects again at once
 * after every close of an open socket, whatever the code, so the wait is what keeps it from coming a hundred times a
 * second.
 */
const TURNED_AWAY_MS = 2_000

/**
 * A wire whose peers present everything in their URL. A subclass reads the URL, lets the peer in, and makes the
 * connections.
 */
export abstract class UrlGateway<
  C extends UrlConnection<UrlHost, AnonymousSession> | UrlConnection<UrlHost, OnlineSession>,
  Asked extends UrlCredentials = UrlCredentials,
>
  extends WebSocketGateway<C>
  implements UrlHost
{
  readonly frameBytes: number
  readonly drops: Drops
  protected readonly entry: UrlEntry
  readonly onError: OnError

  constructor(options: GatewayOptions, wire: WireOptions) {
    super(options, wire)
    this.frameBytes = wire.frameBytes
    this.drops = new Drops(this.wire, options)
    this.onError = options.onError
    const { accessEnds } = this
    const turnAway: UrlHost['turnAway'] = (...args) => this.turnAway(...args)
    this.entry = new UrlEntry({ ...options, wire: this.wire, accessEnds, turnAway })
  }

  /** What a peer asks for with the path and the query (with its `?`, or empty) of its URL. */
  protected abstract read(path: string, query: string): Parsed<Asked>

  /** Lets a peer in that asks for this, or refuses it (`entry`). Rejects only for bugs. */
  protected abstract enter(connection: C, asked: Asked, headers: IncomingHttpHeaders): Promise<void>

  protected override refusalOfUrl(path: string, query: string): UpgradeRefusal | undefined {
    const asked = this.read(path, query)
    return asked.ok ? undefined : { status: '400 Bad Request', reason: 'malformed', detail: asked.problem }
  }

  protected opened(connection: C, { request }: Arrival): void {
    const { path, query } = splitUrl(request.url)
    const asked = this.read(path, query)
    if (!asked.ok) return
    this.enter(connection, asked.value, request.headers).catch((error: unknown) => {
      this.onError(error, { stage: 'enter' })
      this.turnAway(connection, 'internal')
    })
  }

  turnAway(connection: Turnable, reason: CloseReason, options?: CloseOptions): void {
    connection.turnedAway()
    this.lateCloses.add(connection, TURNED_AWAY_MS * (1 + Math.random()), reason, options)
  }

  /** These peers have nothing that could be kept for them. */
  protected endingOf(): Ending {
    return 'left'
  }

  override stop(): void {
    super.stop()
    this.drops.stop()
  }
}
