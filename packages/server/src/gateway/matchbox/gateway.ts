import type { IncomingHttpHeaders } from 'node:http'
import type { OnlineSession } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import type { Name, Parsed, Room, RoomId } from '@peerage/protocol'
import { appOf, errorTexts, limits as wireLimits, nameOf, peerOf, roomIdOf } from '@peerage/protocol'
import { allows } from '../../access/grants.js'
import type { Arrival, GatewayOptions, SocketOptions } from '../shared/gateway.js'
import { OrderedPairs } from '../shared/ordered-pairs.js'
import { roomOfText } from '../shared/room-of-text.js'
import { UrlGateway } from '../shared/url-gateway.js'
import type { MatchboxHost } from './connection.js'
import { MatchboxConnection } from './connection.js'
import { MatchboxRoom } from './room.js'
import type { Asked, Signal } from './wire.js'
import { decodeUrl, encodeSignal, isRoomPath, mintId } from './wire.js'

/** `base`: the node's path, with slashes at both ends. The wire is below it. */
export type MatchboxGatewayOptions = GatewayOptions & SocketOptions & { base: string }

/**
 * The wire of matchbox games at `{base}matchbox/{room}`. A peer holds a name, a UUID, and is a member of one room. SPEC:
 * packages/server/SPEC.md, rules MB1 to MB14.
 */
export class MatchboxGateway extends UrlGateway<MatchboxConnection, Asked> implements MatchboxHost {
  /** A client of this wire ends with its socket [MB12]. */
  override readonly drainsLast = true
  readonly #options: MatchboxGatewayOptions
  readonly #pairs: OrderedPairs
  /** The rooms with peers on this node. */
  readonly #rooms = new Map<RoomId, MatchboxRoom>()

  constructor(options: MatchboxGatewayOptions) {
    const endpoint = { path: `${options.base}matchbox`, setting: 'path' }
    super(options, { ...options, wire: 'matchbox', endpoint })
    this.#options = options
    this.#pairs = new OrderedPairs({
      ...options,
      router: options.node.router,
      settled: ({ frame }, outcome, ms) => {
        const result = typeof outcome === 'string' ? outcome : outcome.refused
        this.metrics.routed('matchbox', 'signal', result, frame.length, ms)
      },
      dropped: ({ from }) =>
        this.drops.dropped('too-many', { app: appOf(from), text: 'signals that wait for a lookup' }),
    })
  }

  protected override takesPath(path: string): boolean {
    return isRoomPath(this.endpoint.path, path)
  }

  protected read(path: string, query: string): Parsed<Asked> {
    return decodeUrl(this.endpoint.path, path, query)
  }

  protected connectionOf(arrival: Arrival): MatchboxConnection {
    return new MatchboxConnection(arrival, this)
  }

  override ended(connection: MatchboxConnection, code: number): void {
    this.#leave(connection)
    super.ended(connection, code)
  }

  protected async enter(
    connection: MatchboxConnection,
    asked: Asked,
    headers: IncomingHttpHeaders,
  ): Promise<void> {
    const session = await this.entry.claim(connection, asked, headers, mintId())
    if (session === undefined) return
    if (!allows(connection.access?.rooms, asked.text))
      return this.entry.refuse(connection, 'forbidden', 'the access rules do not allow this room')
    try {
      await this.#join(connection, session, asked)
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) throw error
      this.#leave(connection)
      this.entry.refuse(connection, 'registry-unavailable', errorTexts['registry-unavailable'])
    }
  }

  /** `former`: the room of a group in which the registry has lost the seat of the peer. */
  async #join(
    connection: MatchboxConnection,
    session: OnlineSession,
    asked: Asked,
    former?: Room,
  ): Promise<void> {
    const { rooms } = this.#options.node
    const name = await this.#roomFor(session, asked)
    // The node has forgotten the rooms of a connection that has ended, so it must join none after that.
    if (name === undefined || !connection.isOpen) return
    if (former !== undefined && former !== name) {
      this.#leave(connection)
      await rooms.part(session, former)
    }
    const room = this.#place(connection, session, name)
    const outcome = await rooms.join(session, name)
    if (outcome === 'too-many') {
      this.#leave(connection)
      const text = `the room is full: it has ${wireLimits.membersPerRoom} members`
      return this.entry.refuse(connection, outcome, text)
    }
    if (outcome === 'parted') return
    // A group must not count as met before this peer would hear that another one leaves it.
    await this.#meetAll(room, session, name)
    if (!(await rooms.confirm(session))) return this.#join(connection, session, asked, name)
    if (!connection.isOpen) return
    room.welcome(connection)
    connection.entered(session)
  }

  /** The room of the peer, or of its group. Undefined: the peer has gone meanwhile. */
  #roomFor(session: OnlineSession, { room, seats }: Asked): Room | undefined | Promise<Room | undefined> {
    if (seats === undefined) return room
    // A group of one is a room that nobody can ask for, because nobody else knows the id.
    if (seats === 1) return roomOfText(`#${nameOf(session.peer)}`)
    return this.#options.node.rooms.seat(session, room, seats)
  }

  #place(connection: MatchboxConnection, { peer, lease }: OnlineSession, name: Room): MatchboxRoom {
    const id = roomIdOf(appOf(peer), name, this.wire)
    const room = this.#rooms.get(id) ?? new MatchboxRoom(id)
    this.#rooms.set(id, room)
    room.connections.add(connection)
    connection.room = room
    connection.self = { name: nameOf(peer), since: lease.since }
    return room
  }

  #leave(connection: MatchboxConnection): void {
    const { room } = connection
    connection.room = undefined
    room?.connections.delete(connection)
    if (room?.connections.size === 0) this.#rooms.delete(room.id)
  }

  /** Reads who is in the room. If that fails, the comparison that each room has regularly finds them [I15]. */
  async #meetAll(room: MatchboxRoom, session: OnlineSession, name: Room): Promise<void> {
    try {
      for (let after: Name | undefined, more = true; more;) {
        const page = await this.#options.node.rooms.list(session, name, after)
        for (const member of page.members) room.meet(member)
        after = page.members.at(-1)?.name
        more = page.more && after !== undefined
      }
    } catch (error) {
      this.#options.onError(error, { stage: 'room list' })
    }
  }

  /** As in matchbox_server, the sender is not told that a signal did not arrive [MB8]. */
  signal(connection: MatchboxConnection, { peer }: OnlineSession, { to, data }: Signal): void {
    const { node } = this.#options
    const isMember = connection.room?.has(to) === true && to !== nameOf(peer)
    const isAllowed = isMember && allows(connection.access?.to, to)
    connection.app?.count(isAllowed)
    if (!isAllowed) return this.metrics.routed(this.wire, 'signal', isMember ? 'forbidden' : 'unavailable', 0)
    this.#pairs.route({
      from: peer,
      to: peerOf(appOf(peer), to),
      wire: 'matchbox',
      kind: 'signal',
      reply: { node: node.id, connection: connection.id, ref: '' },
      frame: encodeSignal(nameOf(peer), data),
    })
  }
}
