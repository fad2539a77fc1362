import type { App, Name, NodeId } from '@peerage/protocol'
import { presenceOf } from '../presence/presence.js'
import type { NameIndex } from './name-index.js'
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
  nodes: Nodes
  graceMs: number
}

/** A page that needs more reads than this is shorter. So names of dead nodes, which are left out, cannot make it slow. */
const READS_MOST = PARTITIONS + 4

/**
 * A page of the held names of an app. It may have fewer peers than `most`, even none, while there is a `next`. Names of
 * a dead node are away during the grace, and then left out. Rejects with RegistryUnavailable.
 */
export async function listPeers(
  { index, nodes, graceMs }: ListingOptions,
  app: App,
  from: ListCursor,
  most: number,
): Promise<ListPage> {
  const peers: ListedPeer[] = []
  let { partition, after }: { partition: number; after?: Name | undefined } = from
  for (let reads = 0; partition < PARTITIONS && peers.length < most && reads < READS_MOST; reads++) {
    const wanted = Math.min(most - peers.length, INDEX_BATCH_MOST)
    const page = await index.page(app, partition, after, wanted)
    for (const entry of page.entries) {
      const { name, since, node } = entry
      const state = presenceOf(entry, nodes, graceMs)
      if (state !== 'offline') peers.push({ name, state, since, node })
    }
    after = page.next
    if (after === undefined) partition++
  }
  if (partition >= PARTITIONS) return { peers }
  return { peers, next: after === undefined ? { partition } : { partition, after } }
}
