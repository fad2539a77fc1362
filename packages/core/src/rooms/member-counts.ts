import type { NodeId, RoomId } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock } from '../lib/clock.js'
import type { NodeHeartbeat } from '../names/node-heartbeat.js'
import type { Nodes } from '../names/nodes.js'
import { encodeCounted } from './channel.js'
import type { AnonymousTold } from './channel.js'
import type { RoomRegistry } from './registry.js'

export interface MemberCountsOptions {
  heartbeat: Pick<NodeHeartbeat, 'id'>
  nodes: Pick<Nodes, 'status'>
  registry: Pick<RoomRegistry, 'publish'>
  clock: Clock
  beatMs: number
  /** How many members this node has in a room. */
  own: (room: RoomId) => number
  onError: OnError
}

/** How many members another node has, and when it said so (monotonic ms). */
interface Count {
  members: number
  at: number
}

/** Counts that are published at once. Messages of peers go over the same connection, and must not wait long for them. */
const TELLS_AT_ONCE = 100
/** Rooms whose count is still to be told. Beyond that, other nodes keep an old count until the next message in the room. */
const CHANGED_MOST = 100_000
/** The nodes whose counts are kept for one room. No cluster has more. */
const NODES_MOST = 1_000

/**
 * How many members the other nodes have in the rooms of this node. Each node says its own count with each message, when it
 * gets its first member in a room, and at the next beat after its count has changed. So a count is at most a beat old.
 */
export class MemberCounts {
  readonly #options: MemberCountsOptions
  /** Only rooms in which other nodes have members. */
  readonly #others = new Map<RoomId, Map<NodeId, Count>>()
  /** Rooms whose count the other nodes are told at the next beat. */
  readonly #changed = new Set<RoomId>()
  /** Rooms whose count is told now. True: the others are asked for theirs, too. */
  readonly #toTell = new Map<RoomId, boolean>()
  #isTelling = false

  constructor(options: MemberCountsOptions) {
    this.#options = options
  }

  /** This node has its first member in the room: asks the other nodes. */
  ask(room: RoomId): void {
    this.#tell(room, true)
  }

  /** The number of this node's members has changed. Nobody is told while no other node has members. */
  changed(room: RoomId): void {
    if (this.#others.has(room)) this.#tellLater(room)
  }

  /** This node has no member in the room any more. */
  ended(room: RoomId): void {
    this.changed(room)
    this.#others.delete(room)
  }

  /** Another node has said its count. */
  learn(room: RoomId, told: AnonymousTold): void {
    const { node, members } = told
    const asks = told.type === 'counted' && told.asks !== 'nothing'
    if (asks) this.#tell(room, false)
    const known = this.#others.get(room)
    if (members === 0) {
      known?.delete(node)
      if (known?.size === 0) this.#others.delete(room)
      return
    }
    const at = this.#options.clock.monotonic()
    const former = known?.get(node)
    if (former) {
      former.members = members
      former.at = at
      return
    }
    // It may not know how many members we have.
    if (!asks) this.#tellLater(room)
    // Without the nodes that are dead.
    if (this.others(room) === 0) this.#others.set(room, new Map([[node, { members, at }]]))
    else if (known && known.size < NODES_MOST) known.set(node, { members, at })
  }

  /** How many members the other nodes have. */
  others(room: RoomId): number {
    const known = this.#others.get(room)
    if (known === undefined) return 0
    let members = 0
    for (const [node, told] of known)
      if (this.#isGone(node, told)) known.delete(node)
      else members += told.members
    if (known.size === 0) this.#others.delete(room)
    return members
  }

  /** A node that has just started may be missing in the view, which is at most a beat old. */
  #isGone(node: NodeId, { at }: Count): boolean {
    const { nodes, clock, beatMs } = this.#options
    const { state } = nodes.status(node)
    return state === 'dead' || (state === 'unknown' && clock.monotonic() - at > 2 * beatMs)
  }

  /** Counts may have been lost. The other nodes are asked for them again. */
  forget(): void {
    this.#others.clear()
  }

  /** Once a beat: tells the other nodes what has changed. Nothing waits for it. */
  tellTurn(): void {
    for (const room of this.#changed) this.#tell(room, false)
    this.#changed.clear()
  }

  #tellLater(room: RoomId): void {
    if (this.#changed.size < CHANGED_MOST) this.#changed.add(room)
  }

  #tell(room: RoomId, asks: boolean): void {
    this.#toTell.set(room, asks || this.#toTell.get(room) === true)
    if (this.#isTelling) return
    this.#isTelling = true
    this.#tellAll().catch((error: unknown) => this.#options.onError(error, { stage: 'room counts' }))
  }

  async #tellAll(): Promise<void> {
    try {
      await this.#tellEach()
    } finally {
      // In the same turn in which nothing was left to tell. A turn later, what came meanwhile would stay untold.
      this.#isTelling = false
    }
  }

  async #tellEach(): Promise<void> {
    const { heartbeat, registry, own } = this.#options
    while (this.#toTell.size > 0) {
      const some = [...this.#toTell.keys()].slice(0, TELLS_AT_ONCE)
      const told = some.map(async (room) => {
        const asks = this.#toTell.get(room) === true
        this.#toTell.delete(room)
        const sent = await registry.publish(
          room,
          encodeCounted(heartbeat.id, own(room), asks ? 'counts' : 'nothing'),
        )
        if (sent === 'unavailable') this.#tellLater(room)
      })
      await Promise.all(told)
    }
  }
}
