import type { Node, OnError, OnlineSession } from '@peerage/core'
import { encodeNodeMessage, nameOf, protocolError } from '@peerage/protocol'
import { allows } from '../../access/grants.js'
import type { NativeConnection } from './connection.js'

/** How many names the error quotes. */
const QUOTED_MOST = 3

/** Ends what a peer has, and its new access token does not allow [WR15]. */
export class Ungranted {
  readonly #options: { node: Pick<Node, 'rooms' | 'watchers'>; onError: OnError }

  constructor(options: { node: Pick<Node, 'rooms' | 'watchers'>; onError: OnError }) {
    this.#options = options
  }

  /** Ends the memberships and watches that the present grants of the connection do not allow, and tells the peer. */
  end(connection: NativeConnection, session: OnlineSession): void {
    const { rooms: allowedRooms, to } = connection.access ?? {}
    const { rooms, watchers } = this.#options.node
    const { peer, lease } = session
    const left = rooms.of(connection.id).filter((room) => !allows(allowedRooms, room))
    for (const room of left) {
      // The others learn of it as of any leave. The peer itself does not wait for the registry.
      rooms
        .part(session, room)
        .catch((error: unknown) => this.#options.onError(error, { stage: 'leave a room' }))
      const change = { name: nameOf(peer), since: lease.since, state: 'left' as const }
      connection.write(encodeNodeMessage({ type: 'changed', room, members: [change] }))
    }
    const unwatched = watchers.of(connection.id).filter((one) => !allows(to, nameOf(one)))
    for (const one of unwatched) watchers.unwatch(connection.id, one)
    if (unwatched.length > 0) connection.fail(protocolError('forbidden', watchesEnded(unwatched.map(nameOf))))
  }
}

function watchesEnded(names: readonly string[]): string {
  const quoted = names.slice(0, QUOTED_MOST).map((name) => JSON.stringify(name))
  const more = names.length - quoted.length
  const list = more > 0 ? `${quoted.join(', ')} and ${more} more` : quoted.join(', ')
  return `the new access token does not allow these names, so their watches have ended: ${list}`
}
