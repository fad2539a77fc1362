import type { RoomText } from '@peerage/core'
import { AnonymousGateway } from '../shared/anonymous-gateway.js'
import type { Arrival, GatewayOptions, SocketOptions } from '../shared/gateway.js'
import type { TopicWire } from './codec.js'
import type { Loss, TopicHost } from './connection.js'
import { SelectiveCounts, TopicConnection } from './connection.js'
import { TopicFrames } from './frames.js'
import { QuietCloses } from './quiet-closes.js'

export interface TopicGatewayOptions extends GatewayOptions, SocketOptions {
  /** The node's path, with slashes at both ends. The wire is below it. */
  base: string
}

/** Why a connection is closed after a loss. */
const LOST_TEXT = 'messages may have been lost; connect again, subscribe and announce anew'
/** After one loss, the connection is closed within this time. */
const LOST_MS = 1_000
/** A peer that floods must wait this long before it begins anew. One that is only slowed loses nothing, and stays [UW5]. */
const FLOODED_MS = 5_000
/**
 * After a doubt, the closes of all connections of a node are spread over this time, or over 2 ms for each of them if that is
 * more, and at most over 30 s. Their clients come back at once, and a node takes 2,000 a second.
 */
const DOUBT_MS = 3_000
const DOUBT_MS_EACH = 2
const DOUBT_MOST_MS = 30_000

/**
 * A wire whose peers subscribe to topics and publish: that of y-webrtc, at `{path}y-webrtc/{app}`, or that of trystero's
 * ws-relay, at `{path}trystero/{app}`. SPEC: packages/server/SPEC.md, rules YW1 to YW13 and TR1 to TR7.
 */
export class TopicGateway extends AnonymousGateway<TopicConnection> implements TopicHost {
  readonly frames: TopicFrames
  readonly selective = new SelectiveCounts()
  readonly #wire: TopicWire
  /** Closes connections that may have missed an announcement, each when it is quiet. */
  readonly #quietCloses: QuietCloses<TopicConnection>
  /** The newest publication and its frame: all members of this node get it one after the other. */
  #newest: { message: RoomText; frame: string } | undefined

  constructor(options: TopicGatewayOptions, wire: TopicWire) {
    super(options, {
      ...options,
      wire: wire.wire,
      endpoint: { path: options.base + wire.wire, setting: 'path' },
    })
    const { node } = options
    this.#wire = wire
    this.frames = new TopicFrames({ ...options, wire, selective: this.selective })
    this.#quietCloses = new QuietCloses(options.clock, (connection) =>
      connection.close('registry-unavailable', { text: LOST_TEXT }),
    )
    if (!wire.beginsAnew) return
    node.anonymousRooms.onMissed((id) => {
      const connection = node.sessions.get(id)?.connection
      if (connection instanceof TopicConnection && connection.wire === this.wire)
        this.#quietCloses.add(connection, Math.random() * this.#doubtMs())
    })
  }

  frameOf(message: RoomText): string {
    if (this.#newest?.message !== message) this.#newest = { message, frame: this.#wire.frameOf(message) }
    return this.#newest.frame
  }

  /** A publication to this peer or of this peer was lost. Its client makes that good when it begins anew. */
  lost(connection: TopicConnection, why: Loss): void {
    if (!this.#wire.beginsAnew || this.lateCloses.has(connection)) return
    const ms = (why === 'rate-limited' ? FLOODED_MS : 0) + Math.random() * LOST_MS
    this.lateCloses.add(connection, ms, why, { text: LOST_TEXT })
  }

  override ended(connection: TopicConnection, code: number): void {
    this.#quietCloses.delete(connection)
    super.ended(connection, code)
  }

  override stop(): void {
    this.#quietCloses.stop()
    super.stop()
  }

  #doubtMs(): number {
    return Math.min(DOUBT_MOST_MS, Math.max(DOUBT_MS, DOUBT_MS_EACH * this.connections))
  }

  protected connectionOf(arrival: Arrival): TopicConnection {
    return new TopicConnection(arrival, this)
  }
}
