import type { App, NodeId, Peer, RoomId } from '@peerage/protocol'

/**
 * Every key and channel of a cluster, below one prefix. What belongs to one name shares the hash tag `{app/name}`,
 * so on a Redis Cluster it lies in one slot, and one script may touch all of it. A `}` in a name only ends the tag
 * early, for all of the name's keys alike.
 */
export class Keys {
  readonly #prefix: string

  constructor(prefix: string) {
    this.#prefix = prefix
  }

  /** Sorted set: node → end of its lease in Redis milliseconds. */
  nodes(): string {
    return `${this.#prefix}nodes`
  }

  /** String: what a node announces. */
  node(node: NodeId): string {
    return `${this.#prefix}node:${node}`
  }

  /** String: when one master of a Cluster was last empty. `word` chooses the master. */
  birth(word: string): string {
    return `${this.#prefix}birth:${word}`
  }

  /** String: the lease of a name. */
  lease(peer: Peer): string {
    return `${this.#prefix}{${peer}}:lease`
  }

  /** Pattern (SCAN MATCH): the leases of an app. */
  leasesOf(app: App): string {
    return `${this.#prefix.replaceAll(/[*?[\]\\^]/gu, '\\$&')}{${app}/*}:lease`
  }

  /** `app/name` of a lease's key. */
  peerOfLease(key: string): string {
    return key.slice(this.#prefix.length + 1, -'}:lease'.length)
  }

  /** List: what waits for an absent peer. */
  queue(peer: Peer): string {
    return `${this.#prefix}{${peer}}:queue`
  }

  /** Sorted set: who is in a room, by name; beside it `…:members:ends`, by when each membership ends. */
  members(room: RoomId): string {
    return `${this.#prefix}{${room}}:members`
  }

  /** Channel: what is said in a room. */
  room(room: RoomId): string {
    return `${this.#prefix}{${room}}:room`
  }

  /** Channel: changes of a name. */
  presence(peer: Peer): string {
    return `${this.#prefix}{${peer}}:presence`
  }

  /** Channel: what is addressed to a node. */
  inbox(node: NodeId): string {
    return `${this.#prefix}inbox:${node}`
  }

  /** Channel: what a node says to itself, to know that it hears. `place` spreads them over the shards. */
  canary(singer: string, place: string): string {
    return `${this.#prefix}canary:${singer}:${place}`
  }
}

/** In the set of nodes: the mark that a set is known by. When the set was made follows, in Redis milliseconds. */
export const MARK = 'born:'

/** What is wrong with a prefix, if anything. */
export function checkPrefix(prefix: string): string | undefined {
  if (/[{}]/u.test(prefix)) return 'must not hold { or }: names are the hash tags'
  if (!/^[\x21-\x7e]{0,64}$/u.test(prefix))
    return 'must be at most 64 printable ASCII characters without spaces'
  return undefined
}
