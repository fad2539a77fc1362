import { AnonymousGateway } from '../shared/anonymous-gateway.js'
import type { Arrival } from '../shared/gateway.js'
import type { WebTorrentHost } from './connection.js'
import { WebTorrentConnection } from './connection.js'
import type { WebTorrentGatewayOptions } from './options.js'
import { Swarms } from './swarms.js'

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
