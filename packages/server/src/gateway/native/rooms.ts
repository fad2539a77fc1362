import type { Node, OnlineSession } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import type { Name, NodeMessage, PeerMessageOf, ProtocolError, Room } from '@peerage/protocol'
import { encodeNodeMessage, errorTexts, limits, nameOf, protocolError } from '@peerage/protocol'
import type { GatewayMetrics } from '../shared/events.js'

/** A room message costs one for each member and each started kilobyte. */
const BYTES_PER_MEMBER = 1_024

/** Handles the room requests of native peers. Each answers with a message or with an error. It rejects for outages only. */
export class NativeRooms {
  readonly #node: Node
  readonly #metrics: GatewayMetrics

  constructor(node: Node, metrics: GatewayMetrics) {
    this.#node = node
    this.#metrics = metrics
  }

  async join(
    session: OnlineSession,
    { id, room }: PeerMessageOf<'join'>,
  ): Promise<NodeMessage | ProtocolError> {
    const outcome = await this.#node.rooms.join(session, room)
    if (outcome !== 'too-many') return this.#page(session, id, room)
    return protocolError(
      'too-many',
      `at most ${limits.rooms} rooms a peer, and ${limits.membersPerRoom} members a room`,
    )
  }

  /** Handles `part`, the message with which a peer leaves a room. */
  async leave(
    session: OnlineSession,
    { id, room }: PeerMessageOf<'part'>,
  ): Promise<NodeMessage | ProtocolError> {
    const wasMember = await this.#node.rooms.part(session, room)
    return wasMember ? { type: 'done', id } : notIn(room)
  }

  members(
    session: OnlineSession,
    { id, room, after }: PeerMessageOf<'members'>,
  ): Promise<NodeMessage | ProtocolError> {
    if (!this.#node.rooms.has(session, room)) return Promise.resolve(notIn(room))
    return this.#page(session, id, room, after)
  }

  /** `overMs` takes a cost from the peer's rate of room messages, or returns how many milliseconds the peer must wait. */
  async say(
    session: OnlineSession,
    { id, room, body }: PeerMessageOf<'say'>,
    overMs: (cost: number) => number,
  ): Promise<NodeMessage | ProtocolError> {
    if (!this.#node.rooms.has(session, room)) return notIn(room)
    const { peer, lease } = session
    const reached = this.#node.rooms.reach(session, room)
    const members = typeof reached === 'number' ? reached : await reached
    const waitMs = overMs(members * Math.ceil(Buffer.byteLength(body) / BYTES_PER_MEMBER))
    if (waitMs > 0)
      return protocolError('rate-limited', `too many messages for a room of ${members} members`, waitMs)
    const frame = encodeNodeMessage({ type: 'said', room, from: nameOf(peer), since: lease.since, body })
    const sent = await this.#node.rooms.say(session, room, frame)
    this.#metrics.routed(
      'native',
      'room',
      sent === 'sent' ? 'forwarded' : 'registry-unavailable',
      frame.length,
    )
    if (sent === 'sent') return { type: 'done', id }
    throw new RegistryUnavailable('the room could not be reached')
  }

  async #page(session: OnlineSession, id: number, room: Room, after?: Name): Promise<NodeMessage> {
    return { type: 'roomed', id, room, ...(await this.#node.rooms.list(session, room, after)) }
  }
}

function notIn(room: Room): ProtocolError {
  return protocolError('forbidden', `${errorTexts.forbidden}: join ${JSON.stringify(room)} first`)
}
