import type { OnlineSession, ServerMessage } from '@peerage/core'
import { nameOf } from '@peerage/protocol'
import type { UrlHost } from '../shared/url-connection.js'
import { UrlConnection } from '../shared/url-connection.js'
import type { MatchboxRoom } from './room.js'
import type { Self, Signal } from './wire.js'
import { decodePeerFrame } from './wire.js'

/** What matchbox connections need of their gateway. */
export interface MatchboxHost extends UrlHost {
  /** The peer sends a signal. */
  signal(connection: MatchboxConnection, session: OnlineSession, signal: Signal): void
}

/** The connection of one matchbox peer. */
export class MatchboxConnection extends UrlConnection<MatchboxHost, OnlineSession> {
  /** The room that the peer joins or is in. */
  room: MatchboxRoom | undefined
  /** Set with its first room. */
  self: Self | undefined
  /** Whether the peer has been told its id. It gets no other frame before that. */
  hasId = false

  protected receive(session: OnlineSession, text: string): undefined {
    const frame = decodePeerFrame(text)
    if (frame.type === 'malformed') this.malformed(frame.problem)
    else if (frame.type === 'signal') this.host.signal(this, session, frame)
  }

  send(message: ServerMessage): boolean {
    switch (message.type) {
      case 'relay':
        if (this.room?.hears(nameOf(message.message.from)) !== true) return true
        // Another node may have heard of this peer before its own node has had the answer to the join.
        this.room.welcome(this)
        return this.deliver(message.message.frame)
      case 'changed':
        this.room?.changed(message)
        return true
      // This wire has no frame for a signal that did not arrive.
      case 'notice':
      case 'presence':
      case 'said':
      case 'published':
      case 'handed':
        return true
    }
  }
}
