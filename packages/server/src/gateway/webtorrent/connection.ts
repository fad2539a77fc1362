import type { AnonymousSession } from '@peerage/core'
import { AnonymousConnection } from '../shared/anonymous-gateway.js'
import type { UrlHost } from '../shared/url-connection.js'

export interface WebTorrentHost extends UrlHost {
  readonly swarms: {
    receive(connection: WebTorrentConnection, session: AnonymousSession, text: string): void
  }
}

/** The connection of one program or page. Several members of swarms may share it. */
export class WebTorrentConnection extends AnonymousConnection<WebTorrentHost> {
  protected receive(session: AnonymousSession, text: string): undefined {
    this.host.swarms.receive(this, session, text)
  }
}
