import type { App, Name, NodeId } from '@peerage/protocol'
import { presenceOf } from '../presence/presence.js'
import type { Indexing } from './indexing.js'
import type { IndexEntry, NameIndex } from './name-index.js'
import { INDEX_BATCH_MOST, PARTITIONS } from './name-index.js'
import type { Nodes } from './nodes.js'

/** Where a page of a list begins: after the name `after` of this partition, or at its beginning. */
export interface ListCursor {
  partition: number
  after?: Name
}

export interface ListedPeer {
  name: Name
  state: 'online' | 'away'
  /** Registry time (ms) of the holder's first claim. */
  since: number
  node: NodeId
}

/** `next`: where the following page begins. Absent on the last page. */
export interface ListPage {
  peers: ListedPeer[]
  next?: ListCursor
}

export interface ListingOptions {
  index: NameIndex
  indexing: Pick<Indexing, 'flush'>
  nodes: Nodes
  graceMs: number
}

/** A page that needs more reads than this is shorter. So names of dead nodes, which are left out, cannot make it slow. */
const READS_MOST = PARTITIONS + 4

/** The names that are held in an app, on all nodes, from the app's index. All methods reject with RegistryUnavailable. */
export class Listing {
  readonly #options: ListingOptions

  constructor(options: ListingOptions) {
    this.#options = options
  }

  /**
   * A page of the names. Without a cursor it is the first page. It may have fewer peers than `most`, even none, while there
   * is a `next`. A claim on another node appears within some 300 ms. Names of a dead node are away during the grace, and
   * then left out.
   *
   * @example
   * ```ts
   * for (let cursor: ListCursor | undefined; ; ) {
   *   const { peers, next } = await node.listing.page(app, cursor, 1_000)
   *   for (const { name, state } of peers) console.log(name, state)
   *   if (next === undefined) break
   *   cursor = next
   * }
   * ```
   */
  async page(app: App, cursor: ListCursor | undefined, most: number): Promise<ListPage> {
    const { index, indexing } = this.#options
    // A peer that has just claimed its name here finds itself.
    if (cursor === undefined) await indexing.flush(app)
    const peers: ListedPeer[] = []
    let { partition, after }: { partition: number; after?: Name | undefined } = cursor ?? { partition: 0 }
    for (let reads = 0; partition < PARTITIONS && peers.length < most && reads < READS_MOST; reads++) {
      const wanted = Math.min(most - peers.length, INDEX_BATCH_MOST)
      const page = await index.page(app, partition, after, wanted)
      peers.push(...page.entries.flatMap((entry) => this.#listed(entry) ?? []))
      after = page.next
      if (after === undefined) partition++
    }
    if (partition >= PARTITIONS) return { peers }
    return { peers, next: after === undefined ? { partition } : { partition, after } }
  }

  /** Undefined if the name is free by now, because its node is dead. */
  #listed(entry: IndexEntry): ListedPeer | undefined {
    const { nodes, graceMs } = this.#options
    const { name, since, node } = entry
    const state = presenceOf(entry, nodes, graceMs)
    return state === 'offline' ? undefined : { name, state, since, node }
  }

  /**
   * How many names there are. Names of a dead node count until their entries end, `nameTtlMs` after that node last wrote
   * them.
   */
  async count(app: App): Promise<number> {
    const { index, indexing } = this.#options
    await indexing.flush(app)
    return index.count(app)
  }

  /** The names that are online, at most `most`. */
  async online(app: App, most: number): Promise<{ names: Name[]; complete: boolean }> {
    const names: Name[] = []
    let cursor: ListCursor | undefined
    do {
      const page = await this.page(app, cursor, INDEX_BATCH_MOST)
      for (const { name, state } of page.peers) {
        if (state !== 'online') continue
        if (names.length >= most) return { names, complete: false }
        names.push(name)
      }
      cursor = page.next
    } while (cursor !== undefined)
    return { names, complete: true }
  }
}
