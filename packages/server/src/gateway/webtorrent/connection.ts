import type { AnonymousSession } from '@peerage/core'
import { AnonymousConnection } from '../shared/anonymous-gateway.js'
import type { UrlHost } from '../shared/url-connection.js'
import { MAX_OFFERS, encodeFailure } from './wire.js'

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

  /** Every announce is answered [WT13]. */
  protected override tooComplex(text: string): void {
    this.write(encodeFailure(`${text}; an announce has at most ${MAX_OFFERS} offers`, ''))
    this.malformed(text)
  }
}
