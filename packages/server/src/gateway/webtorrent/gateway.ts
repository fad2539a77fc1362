import type { AnonymousSession } from '@peerage/core'
import type { GatewayOptions, SocketOptions, Arrival } from '../shared/gateway.js'
import { AnonymousConnection, AnonymousGateway } from '../shared/anonymous-gateway.js'
import type { UrlHost } from '../shared/url-connection.js'
import { Swarms } from './swarms.js'

export interface WebTorrentSettings {
  /** About how often a member announces itself, in milliseconds. */
  intervalMs: number
}

export interface WebTorrentGatewayOptions extends GatewayOptions, SocketOptions, WebTorrentSettings {
  /** The node's own path, with slashes at both ends. */
  base: string
}

interface WebTorrentHost extends UrlHost {
  readonly swarms: Swarms
}

/** The connection of one program or page. Several members of swarms may share it. */
export class WebTorrentConnection extends AnonymousConnection<WebTorrentHost> {
  protected receive(session: AnonymousSession, text: string): undefined {
    this.host.swarms.receive(this, session, text)
  }
}

/** The tracker of WebTorrent, for unmodified clients: bittorrent-tracker, webtorrent, and trystero's torrent strategy. */
export class WebTorrentGateway extends AnonymousGateway<WebTorrentConnection> implements WebTorrentHost {
  readonly swarms: Swarms

  constructor(options: WebTorrentGatewayOptions) {
    const { base, frameBytes, bufferedBytes, pingIntervalMs, pingTimeoutMs } = options
    super(options, {
      wire: 'webtorrent',
      endpoint: { path: `${base}announce`, setting: 'path' },
      frameBytes,
      bufferedBytes,
      pingIntervalMs,
      pingTimeoutMs,
    })
    this.swarms = new Swarms(options)
  }

  protected connectionOf(arrival: Arrival): WebTorrentConnection {
    return new WebTorrentConnection(arrival, this)
  }
}
