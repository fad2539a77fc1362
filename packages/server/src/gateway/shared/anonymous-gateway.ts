import type { IncomingHttpHeaders } from 'node:http'
import type { AnonymousSession, RoomText, ServerMessage } from '@peerage/core'
import type { Parsed } from '@peerage/protocol'
import { MEMBERS_PER_MESSAGE } from '../../apps/budgets.js'
import { TokenBucket } from '../../lib/token-bucket.js'
import type { Member } from './limits.js'
import { limitsOf } from './limits.js'
import type { UrlHost } from './url-connection.js'
import { UrlConnection } from './url-connection.js'
import type { UrlCredentials } from './url-credentials.js'
import { credentialsBelow } from './url-credentials.js'
import { UrlGateway } from './url-gateway.js'

/** A message in a room costs one for each started kilobyte to each member. */
const BYTES_PER_MEMBER = 1_024

/** The connection of a peer without a name. A subclass says what its frames mean (`receive`, `encode`). */
export abstract class AnonymousConnection<Host extends UrlHost = UrlHost> extends UrlConnection<
  Host,
  AnonymousSession
> {
  #said: TokenBucket | undefined

  /** The frame for a message in a room. Undefined: this peer does not get it. */
  protected encode(_message: RoomText): string | undefined {
    return undefined
  }

  send(message: ServerMessage): boolean {
    switch (message.type) {
      case 'published': {
        const frame = this.encode(message)
        return frame === undefined || this.deliver(frame)
      }
      case 'handed':
        return this.deliver(message.frame)
      // They go to peers with names.
      case 'relay':
      case 'notice':
      case 'presence':
      case 'said':
      case 'changed':
        return true
    }
  }

  override get member(): Member | undefined {
    const { session, app, access } = this
    return session === undefined || app === undefined ? undefined : { peer: undefined, app, grants: access }
  }

  /** Pays for a message to a room of so many members, as `pays` does. */
  paysToSay(members: number, bytes: number): true | Promise<boolean> {
    const cost = members * Math.ceil(bytes / BYTES_PER_MEMBER)
    return this.pays((now) => this.#saidAt(now).take(cost, now))
  }

  #saidAt(now: number): TokenBucket {
    const { messagesPerSecond } = limitsOf(this.host.limits, this.member)
    this.#said ??= new TokenBucket(MEMBERS_PER_MESSAGE * messagesPerSecond, now, { whole: true })
    this.#said.setRate(MEMBERS_PER_MESSAGE * messagesPerSecond, now)
    this.#said.parent = this.app?.said
    return this.#said
  }
}

/**
 * A wire whose peers have no names. The URL of a peer says its app and its token: `{endpoint}/{app}/…?token=…`. A
 * subclass makes the connections.
 */
export abstract class AnonymousGateway<C extends AnonymousConnection> extends UrlGateway<C> {
  protected override takesPath(path: string): boolean {
    const { path: own } = this.endpoint
    return path === own || path.startsWith(`${own}/`)
  }

  protected read(path: string, query: string): Parsed<UrlCredentials> {
    return credentialsBelow(this.endpoint.path, path, query)
  }

  protected enter(connection: C, asked: UrlCredentials, headers: IncomingHttpHeaders): Promise<void> {
    return this.entry.enter(connection, asked, headers)
  }
}
