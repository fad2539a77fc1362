import { hash } from 'node:crypto'
import type { RecordKind } from '@peerage/core'
import type { App, NodeId, Peer, RoomId } from '@peerage/protocol'

/** 128 bits: nobody can find two keys with one hash. */
const ANSWER_HASH_BYTES = 16

/**
 * All keys and channels of a cluster, under one prefix. Those of one name share the hash tag `{app/name}`, so on a
 * Redis Cluster they are in one slot, and one script may use all of them. A `}` in a name only ends the tag early, in
 * the same way for all keys of that name.
 */
export class Keys {
  readonly #prefix: string

  constructor(prefix: string) {
    this.#prefix = prefix
  }

  /** Sorted set: node → end of its lease, in Redis milliseconds. */
  nodes(): string {
    return `${this.#prefix}nodes`
  }

  /** String: a node's announcement. */
  node(node: NodeId): string {
    return `${this.#prefix}node:${node}`
  }

  /** String: when one master of a Cluster was last empty. `word` selects the slot, and so the master. */
  birth(word: string): string {
    return `${this.#prefix}birth:${word}`
  }

  /** String: the lease of a name. */
  lease(peer: Peer): string {
    return `${this.#prefix}{${peer}}:lease`
  }

  /**
   * Sorted set: the keys of an app's records of one kind. Next to it are `…:records:ends`, with the end of each record,
   * and `…:records:values`.
   */
  records(app: App, kind: RecordKind): string {
    return `${this.#prefix}{${app}#${kind}}:records`
  }

  /** String: an answer. The key of a caller may be long, so its hash stands for it. */
  answer(app: App, key: string): string {
    const digest = hash('sha256', key, 'buffer').subarray(0, ANSWER_HASH_BYTES).toString('base64url')
    return `${this.#prefix}{${app}#a:${digest}}:answer`
  }

  /**
   * Sorted set: the names of one partition of an app's index. Next to it are `…:names:ends`, with the end of each entry,
   * and `…:names:places`, with what the entry says. No name has this hash tag, because an app has no `#`.
   */
  indexed(app: App, partition: number): string {
    return `${this.#prefix}{${app}#${partition}}:names`
  }

  /** List: the messages for an absent peer. */
  queue(peer: Peer): string {
    return `${this.#prefix}{${peer}}:queue`
  }

  /**
   * Sorted set: the members of a room, by name. Next to it are `…:members:ends`, with the end of each membership, and
   * `…:members:places`, with the node of each member.
   */
  members(room: RoomId): string {
    return `${this.#prefix}{${room}}:members`
  }

  /**
   * Sorted set: the members of a pool, by the end of their membership. Next to it are `…:pool:places`, with the connection
   * of each member, and `…:pool:marked`, with the marked ones.
   */
  pool(pool: RoomId): string {
    return `${this.#prefix}{${pool}}:pool`
  }

  /**
   * Sorted set: the names that have a seat in a group of this size that has not met. Next to it are
   * `…:seats:<n>:places`, with the node and the group of each name, and `…:seats:<n>:groups`.
   */
  seats(room: RoomId, seats: number): string {
    return `${this.#prefix}{${room}}:seats:${seats}`
  }

  /** Channel: the messages and changes in a room. */
  room(room: RoomId): string {
    return `${this.#prefix}{${room}}:room`
  }

  /** Channel: the changes of a name. */
  presence(peer: Peer): string {
    return `${this.#prefix}{${peer}}:presence`
  }

  /** Channel: the envelopes for a node. */
  inbox(node: NodeId): string {
    return `${this.#prefix}inbox:${node}`
  }

  /**
   * Channel: the canary that a node publishes to itself, to check that its subscription works. `word` selects the
   * slot, so that each shard has one.
   */
  canary(sender: string, word: string): string {
    return `${this.#prefix}canary:${sender}:${word}`
  }
}

/**
 * Prefix of the member of the set of nodes that marks when the set was created. The time follows, in Redis
 * milliseconds.
 */
export const MARK = 'born:'

/** What is wrong with a prefix, if anything. */
export function checkPrefix(prefix: string): string | undefined {
  if (/[{}]/u.test(prefix)) return 'must not contain { or }, because Redis would take them for the hash tag'
  if (!/^[\x21-\x7e]{0,64}$/u.test(prefix))
    return 'must be at most 64 printable ASCII characters without spaces'
  return undefined
}
