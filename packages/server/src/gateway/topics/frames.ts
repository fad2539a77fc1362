import type { AnonymousSession, Node, OnError } from '@peerage/core'
import { RegistryUnavailable, memberLimits } from '@peerage/core'
import type { App, RoomId } from '@peerage/protocol'
import { roomIdOf } from '@peerage/protocol'
import { allows } from '../../access/grants.js'
import { pause } from '../../lib/pause.js'
import type { GatewayOptions } from '../shared/gateway.js'
import { roomOfText } from '../shared/room-of-text.js'
import type { TopicFrame, TopicWire } from './codec.js'
import type { SelectiveCounts, TopicConnection } from './connection.js'

type Publication = Extract<TopicFrame, { type: 'publish' }>

export interface TopicFramesOptions extends Pick<GatewayOptions, 'clock' | 'metrics'> {
  node: Pick<Node, 'anonymousRooms'>
  wire: TopicWire
  selective: Pick<SelectiveCounts, 'of'>
  onError: OnError
}

/** How many publications of one connection may be on their way to the channel. Further frames of the peer wait. */
const MAX_SAYING = 64
/**
 * What a publication with an addressee costs at least, as a share of the members. The members on other nodes may differ
 * from those on this one, and a sender could make the share here as small as it likes.
 */
const LEAST_SHARE = 0.1
/** The pause before a join is tried again, while the registry is unavailable. */
const REJOIN_MS = 1_000

/** Turns the frames of peers into memberships and messages of rooms. A topic is a room of its wire. */
export class TopicFrames {
  readonly #options: TopicFramesOptions

  constructor(options: TopicFramesOptions) {
    this.#options = options
  }

  /** Handles a frame. The next frames of the peer wait for the promise, so a publication waits for its own subscription. */
  receive(connection: TopicConnection, session: AnonymousSession, text: string): Promise<void> | undefined {
    const frame = this.#options.wire.decode(text)
    switch (frame.type) {
      case 'answered':
        connection.write(frame.frame)
        return undefined
      case 'ignored':
        return undefined
      case 'malformed':
        connection.malformed('the frame is not one of this wire')
        return undefined
      case 'subscribe':
        return this.#subscribe(connection, session, frame.topics)
      case 'unsubscribe':
        this.#unsubscribe(connection, session, frame.topics)
        return undefined
      case 'publish':
        return this.#publish(connection, session, frame)
    }
  }

  #subscribe(
    connection: TopicConnection,
    session: AnonymousSession,
    topics: readonly string[],
  ): Promise<void> | undefined {
    const { anonymousRooms } = this.#options.node
    const joins = new Set<RoomId>()
    for (const topic of topics) {
      const room = this.#roomOf(connection, session.app, copyOf(topic))
      if (room !== undefined && !anonymousRooms.has(connection.id, room)) joins.add(room)
    }
    if (joins.size === 0) return undefined
    // Each join costs as much as a message, so that nobody can join and leave hundreds of rooms with each frame.
    const paid = connection.pays((now) => connection.rates.messages.take(joins.size, now))
    if (paid === true) return this.#joinAll(connection, session, joins)
    return paid.then((isPaid) => (isPaid ? this.#joinAll(connection, session, joins) : undefined))
  }

  async #joinAll(connection: TopicConnection, session: AnonymousSession, rooms: Set<RoomId>): Promise<void> {
    await Promise.all([...rooms].map((room) => this.#join(connection, session, room)))
  }

  /** Never rejects. */
  async #join(connection: TopicConnection, session: AnonymousSession, room: RoomId): Promise<void> {
    const { wire, node } = this.#options
    if (wire.beginsAnew) connection.joins(room)
    try {
      const outcome = await node.anonymousRooms.join(session, room)
      if (outcome === 'too-many') connection.drop('too-many')
      if (outcome === 'joined') connection.joined(room)
      else connection.parted(room)
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) this.#options.onError(error, { stage: 'join a room' })
      connection.lost('registry-unavailable')
      if (!this.#options.wire.beginsAnew) this.#wantLater(connection, session, room)
    }
  }

  /** Tries the join again until it is complete, because the peer will not ask again. Nothing waits for that. */
  #wantLater(connection: TopicConnection, session: AnonymousSession, room: RoomId): void {
    connection.wanted ??= new Set()
    const { wanted } = connection
    if (wanted.has(room)) return
    if (wanted.size >= memberLimits.anonymousRooms) return connection.drop('too-many')
    wanted.add(room)
    void pause(this.#options.clock, REJOIN_MS).then(async () => {
      if (!wanted.delete(room) || !connection.isOpen) return
      await this.#join(connection, session, room)
    })
  }

  #unsubscribe(connection: TopicConnection, { app }: AnonymousSession, topics: readonly string[]): void {
    for (const topic of topics) {
      const room = roomIdOf(app, roomOfText(topic), this.#options.wire.wire)
      connection.wanted?.delete(room)
      connection.parted(room)
      this.#options.node.anonymousRooms.part(connection.id, room)
    }
  }

  #publish(
    connection: TopicConnection,
    session: AnonymousSession,
    { topic, text, from, to }: Publication,
  ): Promise<void> | undefined {
    const room = this.#roomOf(connection, session.app, topic)
    if (room === undefined) return undefined
    if (from !== undefined && this.#options.node.anonymousRooms.has(connection.id, room))
      connection.shows(room, from)
    const say = (): Promise<void> | undefined => {
      connection.app?.count(true)
      const said = this.#say(connection, session, { room, text, to })
      return connection.saying >= MAX_SAYING ? said : undefined
    }
    if (!connection.says(room)) {
      this.#options.metrics.routed(this.#options.wire.wire, 'room', 'registry-unavailable', text.length)
      return undefined
    }
    const paid = connection.paysToSay(this.#reachOf(connection, room, to), Buffer.byteLength(text))
    return paid === true ? say() : paid.then((isPaid) => (isPaid ? say() : undefined))
  }

  /**
   * For how many members a publication costs. If it has an addressee, it costs for the members that get it all the same:
   * their share is counted among this node's own members, and stands for that among all [YW12].
   */
  #reachOf(connection: TopicConnection, room: RoomId, to: string | undefined): number {
    const rooms = this.#options.node.anonymousRooms
    const members = Math.max(1, rooms.reach(room))
    if (to === undefined) return members
    const own = rooms.own(room)
    const neighbours = rooms.has(connection.id, room) ? own - 1 : own
    if (neighbours === 0) return members
    const share = (own - this.#options.selective.of(room)) / neighbours
    return Math.ceil(members * Math.min(1, Math.max(LEAST_SHARE, share)))
  }

  /** Never rejects. */
  async #say(
    connection: TopicConnection,
    session: AnonymousSession,
    { room, text, to }: { room: RoomId; text: string; to: string | undefined },
  ): Promise<void> {
    const { node, wire, metrics, onError } = this.#options
    connection.saying++
    try {
      const outcome = await node.anonymousRooms.say(session, room, text, to)
      const result = outcome === 'sent' ? 'forwarded' : 'registry-unavailable'
      metrics.routed(wire.wire, 'room', result, text.length)
      if (outcome !== 'sent') connection.lost('registry-unavailable')
    } catch (error) {
      onError(error, { stage: 'publish' })
      connection.lost('registry-unavailable')
    } finally {
      connection.saying--
    }
  }

  /** The room of a topic. Undefined if the access rules do not grant it. */
  #roomOf(connection: TopicConnection, app: App, topic: string): RoomId | undefined {
    if (allows(connection.access?.rooms, topic))
      return roomIdOf(app, roomOfText(topic), this.#options.wire.wire)
    connection.drop('forbidden')
    return undefined
  }
}

/** A topic may be a slice of its frame, and V8 would keep that whole frame in memory. */
function copyOf(topic: string): string {
  return Buffer.from(topic, 'utf16le').toString('utf16le')
}
