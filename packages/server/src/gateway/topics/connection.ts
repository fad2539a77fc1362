import type { AnonymousSession, RoomText } from '@peerage/core'
import type { RoomId } from '@peerage/protocol'
import { AnonymousConnection } from '../shared/anonymous-gateway.js'
import type { UrlHost } from '../shared/url-connection.js'

/** Why a peer may have missed a publication, or the others one of this peer. */
export type Loss = 'registry-unavailable' | 'rate-limited' | 'slow-consumer'

/** What topic connections need of their gateway. */
export interface TopicHost extends UrlHost {
  readonly frames: {
    receive(connection: TopicConnection, session: AnonymousSession, text: string): Promise<void> | undefined
  }
  /** The frame of a publication. All members of this node share one. */
  frameOf(message: RoomText): string
  /** A publication to this peer or of this peer was lost. */
  lost(connection: TopicConnection, why: Loss): void
  readonly selective: SelectiveCounts
}

/** In each room, how many connections of this node do not get publications for other peers [YW7]. */
export class SelectiveCounts {
  readonly #counts = new Map<RoomId, number>()

  of(room: RoomId): number {
    return this.#counts.get(room) ?? 0
  }

  changed(room: RoomId, by: 1 | -1): void {
    const count = this.of(room) + by
    if (count === 0) this.#counts.delete(room)
    else this.#counts.set(room, count)
  }
}

const DROPPED_TEXTS = {
  forbidden: 'topics that the access rules do not allow',
  'too-many': 'topics beyond the limits',
}

/**
 * A peer announces itself within this time after it has subscribed. The announcement is a frame of its own, and with a
 * password it must be encrypted first. That takes some milliseconds, and up to a second on a busy machine.
 */
const ANNOUNCES_MS = 1_000
/** A peer that has shown more ids than this in a topic gets every publication. */
const MAX_SHOWN = 8

/** The connection of a peer that subscribes to topics and publishes. */
export class TopicConnection extends AnonymousConnection<TopicHost> {
  /** How many publications are on their way to the channel. */
  saying = 0
  /** Grows with each publication of the peer or for it. */
  activity = 0
  /** Rooms that the peer wants to join, and could not yet. */
  wanted: Set<RoomId> | undefined
  /** Digests of the ids that the peer has shown in each room. */
  #shown: Map<RoomId, number[]> | undefined
  /**
   * The rooms in which no publication of the peer has come back yet. A number: the peer joined then (monotonic ms), and has
   * not published yet.
   */
  #arrivals: Map<RoomId, 'joining' | number | 'announcing'> | undefined

  protected receive(session: AnonymousSession, text: string): Promise<void> | undefined {
    return this.host.frames.receive(this, session, text)
  }

  protected override encode(message: RoomText): string | undefined {
    if (message.sender === this.id) this.#arrivals?.delete(message.room)
    if (this.#isForAnother(message) || this.#crosses(message)) return undefined
    this.activity++
    return this.host.frameOf(message)
  }

  protected override missed(why: 'rate-limited' | 'slow-consumer'): void {
    this.lost(why)
  }

  /** A publication to this peer or of this peer was lost. */
  lost(why: Loss): void {
    this.host.lost(this, why)
  }

  /** Something that the peer asked for is not done. The wire has no word for that. */
  drop(what: 'forbidden' | 'too-many'): void {
    this.dropped(what, { text: DROPPED_TEXTS[what] })
    this.app?.count(false)
  }

  /** The peer has published in this room as `id`. */
  shows(room: RoomId, id: string): void {
    this.#shown ??= new Map()
    const shown = this.#shown.get(room)
    if (shown === undefined) {
      this.#shown.set(room, [digestOf(id)])
      this.host.selective.changed(room, 1)
    } else if (shown.length <= MAX_SHOWN && !shown.includes(digestOf(id))) {
      shown.push(digestOf(id))
      if (shown.length > MAX_SHOWN) this.host.selective.changed(room, -1)
    }
  }

  /** The peer joins the room, and will announce itself there. */
  joins(room: RoomId): void {
    this.#arrivals ??= new Map()
    this.#arrivals.set(room, 'joining')
  }

  joined(room: RoomId): void {
    if (this.#arrivals?.get(room) === 'joining') this.#arrivals.set(room, this.host.clock.monotonic())
  }

  /**
   * A publication of the peer goes to the room. False: it must not, because the peer's subscription failed. Its socket is
   * closed soon, and nobody could answer it.
   */
  says(room: RoomId): boolean {
    this.activity++
    const state = this.#arrivals?.get(room)
    if (typeof state === 'number') this.#arrivals?.set(room, 'announcing')
    return state !== 'joining'
  }

  /** The peer has left the room. */
  parted(room: RoomId): void {
    this.#arrivals?.delete(room)
    const shown = this.#shown?.get(room)
    if (shown === undefined) return
    this.#shown?.delete(room)
    if (shown.length <= MAX_SHOWN) this.host.selective.changed(room, -1)
  }

  override ended(code: number): void {
    for (const room of this.#shown?.keys() ?? []) this.parted(room)
    super.ended(code)
  }

  /**
   * Whether the publication comes before the peer's own announcement in the order of the room. The peer need not hear it:
   * its sender hears the announcement. If both heard each other, both would open a connection, and y-webrtc 10.3 would then
   * keep one that carries nothing (findings/y-webrtc-glare.sh).
   */
  #crosses(message: RoomText): boolean {
    const state = message.to === undefined ? this.#arrivals?.get(message.room) : undefined
    if (typeof state !== 'number') return state !== undefined
    return this.host.clock.monotonic() - state < ANNOUNCES_MS
  }

  /**
   * Whether the publication is for an id that is not one of this peer. What others show says nothing about this peer, so
   * nobody can keep a publication from it.
   */
  #isForAnother({ room, to, sender }: RoomText): boolean {
    const shown = to === undefined || sender === this.id ? undefined : this.#shown?.get(room)
    if (to === undefined || shown === undefined || shown.length > MAX_SHOWN) return false
    return !shown.includes(digestOf(to))
  }
}

/**
 * A number for an id, so that an id of 128 characters takes no more memory than a short one. If two ids have the same
 * number, a peer gets a publication that is not for it.
 */
function digestOf(id: string): number {
  // FNV-1a, 32 bits.
  let digest = 0x811c9dc5
  for (let at = 0; at < id.length; at++) digest = Math.imul(digest ^ id.charCodeAt(at), 0x01000193)
  return digest
}
