import { AnonymousGateway } from '../shared/anonymous-gateway.js'
import type { Arrival } from '../shared/gateway.js'
import type { WebTorrentHost } from './connection.js'
import { WebTorrentConnection } from './connection.js'
import type { WebTorrentGatewayOptions } from './options.js'
import { Swarms } from './swarms.js'

/**
 * The tracker of WebTorrent at `{base}announce/{app}`, for unmodified clients: bittorrent-tracker, webtorrent, and
 * trystero's torrent strategy. SPEC: packages/server/SPEC.md, rules WT1 to WT14.
 */
export class WebTorrentGateway extends AnonymousGateway<WebTorrentConnection> implements WebTorrentHost {
  readonly swarms: Swarms

  constructor(options: WebTorrentGatewayOptions) {
    const endpoint = { path: `${options.base}announce`, setting: 'path' }
    super(options, { ...options, wire: 'webtorrent', endpoint })
    this.swarms = new Swarms(options)
  }

  protected connectionOf(arrival: Arrival): WebTorrentConnection {
    return new WebTorrentConnection(arrival, this)
  }
}
