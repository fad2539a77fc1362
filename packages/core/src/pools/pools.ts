import type { ConnectionId, NodeId, RoomId } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock } from '../lib/clock.js'
import type { Nodes } from '../names/nodes.js'
import type { NodeHeartbeat } from '../names/node-heartbeat.js'
import type { Bus } from '../routing/bus.js'
import type { Envelope } from '../routing/message.js'
import type { AnonymousSession, Sessions } from '../sessions/sessions.js'
import { Farewells } from './farewells.js'
import type { LocalMember } from './local-members.js'
import { LocalMembers } from './local-members.js'
import type { PoolMember, PoolRegistry, PoolSize } from './registry.js'

export interface PoolsOptions {
  heartbeat: Pick<NodeHeartbeat, 'id'>
  registry: PoolRegistry
  nodes: Pick<Nodes, 'status' | 'view'>
  bus: Pick<Bus, 'publish'>
  sessions: Sessions
  clock: Clock
  onError: OnError
}

export interface EnterOptions {
  /** A member that was marked before stays so, whatever this says. */
  marked: boolean
  /** How many other members to draw. */
  draw: number
  /** When the membership ends if the member does not enter again. */
  ttlMs: number
}

/**
 * `ageMs`: for how long the connection has been a member under this id.
 * `too-many`: the connection has too many memberships, in this pool or in all, or the node has, or the pool is full.
 * `parted`: the connection has ended.
 */
export type Entered = { drawn: PoolMember[]; size: PoolSize; ageMs: number } | 'too-many' | 'parted'

type Place = Pick<PoolMember, 'node' | 'connection'>

/** Members of one pool on all nodes. A draw takes the same time in a large pool; its memory is on one Redis server. */
const MEMBERS_PER_POOL = 100_000
/** While a node is dead, its members are still in the pools. This many more are drawn in place of them. */
const SPARE = 4
/** NodeIds that are remembered as dead. Members of a dead node may be in pools for longer than the view has the node. */
const DEAD_MOST = 1_000
/** Pools that are written back at once. A node may have members in many pools, and its next beat waits for them. */
const KEPT_AT_ONCE = 256

/**
 * The memberships of this node's connections in pools, and the frames between members. A membership ends when its
 * connection ends, or if the member does not enter again in time. Nothing renews it otherwise.
 */
export class Pools {
  readonly #options: PoolsOptions
  readonly #members: LocalMembers
  readonly #farewells: Farewells
  /** NodeIds that never come back. */
  readonly #dead = new Set<NodeId>()
  /** The NodeId under which the registry has this node's memberships. */
  #keptAs: NodeId

  constructor(options: PoolsOptions) {
    this.#options = options
    this.#members = new LocalMembers(options.clock)
    this.#farewells = new Farewells(options)
    this.#keptAs = options.heartbeat.id
  }

  /** How many memberships the connections of this node have. */
  get count(): number {
    return this.#members.count
  }

  /**
   * Enters, or enters again, and draws other members. Of a dead node it draws none.
   *
   * Rejects with RegistryUnavailable. Then the member counts as entered on this node all the same, and is written to the
   * registry when that is back, if its connection is still there.
   */
  async enter(
    { connection: { id: connection } }: AnonymousSession,
    pool: RoomId,
    id: string,
    { marked, draw, ttlMs }: EnterOptions,
  ): Promise<Entered> {
    const { heartbeat, registry } = this.#options
    if (!this.#isHere(connection)) return 'parted'
    const held = this.#members.enter({ pool, id, connection, marked, ttlMs })
    if (held === undefined) return 'too-many'
    const spare = draw > 0 && this.#isAnyDead() ? draw + SPARE : 0
    const member = { id, node: heartbeat.id, connection, marked: held.marked }
    const options = { ttlMs, draw: draw + spare, most: MEMBERS_PER_POOL }
    const entered = await registry.enter(pool, member, options)
    if (entered === 'full') {
      this.#members.delete(held)
      return 'too-many'
    }
    this.#members.entered(held, entered, ttlMs)
    if (entered.former !== undefined) this.#tellMoved(pool, id, entered.former, entered.since)
    if (!this.#isHere(connection)) return 'parted'
    const drawn = this.#reachable(pool, entered.drawn, draw)
    return { drawn, size: entered.size, ageMs: this.#members.ageOf(held) }
  }

  /** Resolves with the size after that. Rejects with RegistryUnavailable: then the membership ends later. */
  async leave(
    { connection: { id: connection } }: AnonymousSession,
    pool: RoomId,
    id: string,
  ): Promise<PoolSize> {
    const { heartbeat, registry } = this.#options
    const held = this.#members.get(pool, id)
    if (held?.connection === connection) this.#members.delete(held)
    return (await registry.leave(pool, { id, node: heartbeat.id, connection })).size
  }

  /** Whether this connection is in the pool under this id. */
  has(connection: ConnectionId, pool: RoomId, id: string): boolean {
    return this.#members.get(pool, id)?.connection === connection
  }

  /**
   * Hands a frame to a member that was drawn, wherever it is. It arrives at most once; nobody is told if it does not.
   */
  hand(pool: RoomId, to: PoolMember, frame: string): void {
    const { node, connection, id } = to
    const envelope = { type: 'hand' as const, connection, pool, member: id, frame }
    if (node === this.#options.heartbeat.id) this.receive(envelope)
    else this.#publish(node, envelope)
  }

  /**
   * Hands a frame to the member with this id. Resolves with false if there is none. Rejects with RegistryUnavailable if the
   * member is not on this node.
   */
  async handTo(pool: RoomId, id: string, frame: string): Promise<boolean> {
    const held = this.#members.get(pool, id)
    if (held !== undefined) return this.#send(held.connection, frame)
    const member = await this.#options.registry.find(pool, id)
    if (member === undefined || this.#isDead(member.node)) return false
    this.hand(pool, member, frame)
    return true
  }

  /** How many members each of these pools has, in the same order. Rejects with RegistryUnavailable. */
  sizes(pools: readonly RoomId[]): Promise<PoolSize[]> {
    return this.#options.registry.sizes(pools)
  }

  /** Another node hands a frame to a connection of this node, or tells that the member is elsewhere. */
  receive(envelope: Extract<Envelope, { type: 'hand' | 'moved' }>): void {
    const { type, pool, member, connection } = envelope
    if (type === 'moved') this.#members.moved(pool, member, connection, envelope.since)
    else if (this.has(connection, pool, member)) this.#send(connection, envelope.frame)
  }

  // Until the former node knows, it hands frames for this id to the former connection. If this is lost, it learns when that
  // connection ends.
  #tellMoved(pool: RoomId, member: string, { node, connection }: Place, since: number): void {
    if (node !== this.#options.heartbeat.id && !this.#isDead(node))
      this.#publish(node, { type: 'moved', connection, pool, member, since })
  }

  /** Call it when a connection has ended. It leaves all its pools, in the background. */
  forget(connection: ConnectionId): void {
    const former = this.#members.forget(connection)
    if (former.length > 0) this.#farewells.leave(former)
  }

  /** The registry may have lost everything, or this node has a new NodeId: writes its memberships back. */
  async keepAll(): Promise<void> {
    const { id } = this.#options.heartbeat
    let keeping: Promise<void>[] = []
    for (const [pool, members] of this.#members.byPool()) {
      keeping.push(this.#keep(pool, members))
      if (keeping.length < KEPT_AT_ONCE) continue
      await Promise.all(keeping)
      keeping = []
    }
    await Promise.all(keeping)
    this.#keptAs = id
  }

  #keep(pool: RoomId, members: readonly LocalMember[]): Promise<void> {
    const node = this.#options.heartbeat.id
    const kept = members.map((held) => {
      const { id, connection, marked, since } = held
      return { id, node, connection, marked, since, ttlMs: this.#members.endsIn(held) }
    })
    return this.#options.registry.keep(pool, kept)
  }

  /** Call it once a beat. It forgets memberships that have ended by themselves. Rejects with RegistryUnavailable. */
  async turn(): Promise<void> {
    this.#members.sweep()
    if (this.#keptAs !== this.#options.heartbeat.id) await this.keepAll()
  }

  /**
   * The view of the nodes was read anew. A node that is dead in it has a new NodeId when it comes back. In an older view,
   * a node may only seem to be dead.
   */
  seen(): void {
    const { now, nodes } = this.#options.nodes.view()
    for (const [node, { end }] of nodes) if (end <= now) this.#dead.add(node)
    for (const node of this.#dead) {
      if (this.#dead.size <= DEAD_MOST) return
      this.#dead.delete(node)
    }
  }

  /** Resolves when the registry knows of all connections that have ended, or has failed. */
  settled(): Promise<void> {
    return this.#farewells.settled()
  }

  #send(connection: ConnectionId, frame: string): boolean {
    return this.#options.sessions.get(connection)?.connection.send({ type: 'handed', frame }) ?? false
  }

  #publish(node: NodeId, envelope: Envelope): void {
    const { bus, onError } = this.#options
    bus.publish(node, envelope).catch((error: unknown) => onError(error, { stage: envelope.type }))
  }

  #isHere(connection: ConnectionId): boolean {
    return this.#options.sessions.get(connection)?.state === 'anonymous'
  }

  #isDead(node: NodeId): boolean {
    const { heartbeat, nodes } = this.#options
    return node !== heartbeat.id && (this.#dead.has(node) || nodes.status(node).state === 'dead')
  }

  #isAnyDead(): boolean {
    const { now, nodes } = this.#options.nodes.view()
    for (const { end } of nodes.values()) if (end <= now) return true
    return false
  }

  /** Up to `most` of these members, without those of dead nodes. Those of nodes that we do not know yet come last. */
  #reachable(pool: RoomId, drawn: PoolMember[], most: number): PoolMember[] {
    const { heartbeat, nodes } = this.#options
    const live: PoolMember[] = []
    const unknown: PoolMember[] = []
    for (const member of drawn) {
      if (this.#dead.has(member.node)) {
        this.#farewells.leave([{ ...member, pool }])
        continue
      }
      const state = member.node === heartbeat.id ? 'live' : nodes.status(member.node).state
      if (state === 'live') live.push(member)
      else if (state === 'unknown') unknown.push(member)
    }
    if (unknown.length > 0) live.push(...unknown)
    return live.length > most ? live.slice(0, most) : live
  }
}
