import type { App, Name, NodeId } from '@peerage/protocol'

/** An app's index has this many parts, so that on a Redis Cluster several masters share its load. */
export const PARTITIONS = 16

const FNV_OFFSET = 0x811c9dc5
const FNV_PRIME = 0x01000193
const encoder = new TextEncoder()
/** The bytes of an ASCII name are its characters, so it need not be encoded. */
const ASCII_MOST = 0x7f

/**
 * The partition of a name: the 32-bit FNV-1a hash of its UTF-8, its upper half folded into its lower half, modulo 16.
 * All nodes of a cluster must agree on it (redis/SPEC.md KEY6).
 */
export function partitionOf(name: Name): number {
  let hash = FNV_OFFSET
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i)
    if (unit > ASCII_MOST) return folded(hashOf(encoder.encode(name)))
    hash = Math.imul(hash ^ unit, FNV_PRIME)
  }
  return folded(hash)
}

function hashOf(bytes: Uint8Array): number {
  let hash = FNV_OFFSET
  for (const byte of bytes) hash = Math.imul(hash ^ byte, FNV_PRIME)
  return hash
}

function folded(hash: number): number {
  return (hash ^ (hash >>> 16)) & (PARTITIONS - 1)
}

/** A name that is held, as the index has it. */
export interface IndexEntry {
  name: Name
  node: NodeId
  state: 'online' | 'away'
  since: number
  epoch: number
}

/** `over`: the change has no effect on an entry with a greater epoch than this. */
export type IndexChange =
  /** Writes the entry. It ends after `ttlMs`, unless it is written again. */
  | { type: 'put'; entry: IndexEntry; over: number; ttlMs: number }
  /** Removes the entry, if its epoch is at least `from`. */
  | { type: 'drop'; name: Name; over: number; from: number }

/** Entries in one write, and in one page. Redis answers no other command meanwhile. */
export const INDEX_BATCH_MOST = 1_000

/**
 * The held names of an app, for lists and counts. The registry stays authoritative: the index is written a moment after
 * it, and a write may be lost, so each node writes its own names again with each round of renewals. Contract
 * (testing/contracts/index-contract.ts):
 * - a write is atomic, and none of its names occurs twice;
 * - an entry ends `ttlMs` after it was last written, so the entries of a dead node end by themselves, and an app without
 *   names leaves nothing behind [I16];
 * - a change with an older epoch never replaces or removes an entry with a newer one, so late changes do no harm;
 * - the names of a partition have a fixed order. A name that is there all the time is in exactly one page;
 * - during an outage a method rejects with `RegistryUnavailable` within `commandMs`. A write may still have been carried
 *   out.
 */
export interface NameIndex {
  /** Makes at most `INDEX_BATCH_MOST` changes. All names are of this partition. */
  write(app: App, partition: number, changes: readonly IndexChange[]): Promise<void>
  /**
   * The entries among the next `most` names after `after`. `most` is at most `INDEX_BATCH_MOST`. `next`: the name after
   * which the following page begins; absent on the last page.
   */
  page(app: App, partition: number, after: Name | undefined, most: number): Promise<IndexPage>
  /** How many entries the app has. Its cost does not depend on that number. */
  count(app: App): Promise<number>
}

export interface IndexPage {
  entries: IndexEntry[]
  next?: Name
}
