import type { App, Name } from '@peerage/protocol'
import { appOf, nameOf } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock, Timer } from '../lib/clock.js'
import type { IndexChange, NameIndex } from './name-index.js'
import { partitionOf } from './name-index.js'
import { RegistryUnavailable, type Lease } from './registry.js'

export interface IndexingOptions {
  index: NameIndex
  clock: Clock
  /** All names that this node holds or keeps, and for how long each entry lasts. */
  leases: () => Iterable<{ lease: Lease; ttlMs: number }>
  onError: OnError
}

/** A change that waits to be written. `until`: the monotonic time at which the entry ends. */
type Waiting =
  | { type: 'put'; lease: Lease; over: number; until: number }
  | { type: 'drop'; over: number; from: number }

/** One partition of an app that has changes, or was written a moment ago. */
interface Partition {
  app: App
  number: number
  changes: Map<Name, Waiting>
  writing: Promise<void> | undefined
  /** Its next write, or when it is forgotten. */
  timer: Timer | undefined
  /** The last write failed. The next beat tries again. */
  hasFailed: boolean
}

/**
 * The first change of a partition after a quiet time is written at once. Changes in this time after a write wait, and are
 * written together: a hundred changes in one write cost Redis and the node a third of what they cost one by one.
 */
const PAUSE_MS = 200
/** Each pause is longer or shorter by up to this share, so that Redis does not get all partitions at once. */
const PAUSE_JITTER = 0.25
/** Redis takes about a millisecond for this many changes. */
const CHANGES_PER_WRITE = 500
/** The ends of entries are rounded up to this, so that most entries of a write have the same TTL. */
const TTL_STEP_MS = 100
/** Changes that may wait, some 250 bytes each. Beyond that, all of them are dropped, and the names are written anew. */
const CHANGES_MOST = 50_000
/** The rewriting of all names waits after this many. */
const REWRITE_BATCH = 2_000

/**
 * Writes the names of this node into the index of their apps. No caller waits for a write. A write that failed is tried
 * again at the next beat.
 */
export class Indexing {
  readonly #options: IndexingOptions
  #isIndexed: ((app: App) => boolean) | undefined
  /** By app and number. */
  readonly #partitions = new Map<string, Partition>()
  /** Changes in all partitions that wait. */
  #waiting = 0
  /** Changes were dropped, or the apps have changed: all names must be written. */
  #mustRewrite = false
  #isRewriting = false
  #isStopped = false

  constructor(options: IndexingOptions) {
    this.#options = options
  }

  /**
   * Sets which apps have an index, which lists and counts need, and writes all names of these apps. Entries of other apps
   * end by themselves. Before the first call no app has one. Call it again after the answer has changed.
   */
  setIndexed(isIndexed: (app: App) => boolean): void {
    this.#isIndexed = isIndexed
    this.#mustRewrite = true
    void this.#rewrite()
  }

  /**
   * Writes the entry of a lease, for `ttlMs` from now. `over`: the epoch of a lease that has lost against this one.
   * Returns false if its app has no index.
   */
  put(lease: Lease, ttlMs: number, over = lease.epoch): boolean {
    const until = this.#options.clock.monotonic() + ttlMs
    return this.#add(lease, { type: 'put', lease, over: Math.max(over, lease.epoch), until })
  }

  /** Nobody holds the name of this lease any more: removes its entry, or that of an earlier lease. */
  free(lease: Lease): void {
    this.#add(lease, { type: 'drop', over: lease.epoch, from: 0 })
  }

  /** This lease has ended, but another peer may hold its name, perhaps by an earlier claim: removes only its own entry. */
  drop(lease: Lease): void {
    this.#add(lease, { type: 'drop', over: lease.epoch, from: lease.epoch })
  }

  /** Once a beat: tries again what failed. Does not wait for it. */
  retryTurn(): void {
    for (const partition of this.#partitions.values()) {
      partition.hasFailed = false
      this.#writeIn(0, partition)
    }
    void this.#rewrite()
  }

  /** Writes what waits now, of one app or of all. Resolves when it is written or has failed. Never rejects. */
  async flush(app?: App): Promise<void> {
    const chosen = [...this.#partitions.values()].filter((one) => app === undefined || one.app === app)
    await Promise.all(chosen.map((partition) => this.#flush(partition)))
  }

  /** Writes what waits, and ends. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.flush()
    for (const { timer } of this.#partitions.values()) timer?.cancel()
    this.#partitions.clear()
  }

  #add({ peer }: Lease, change: Waiting): boolean {
    if (this.#isIndexed === undefined || this.#isStopped) return false
    const app = appOf(peer)
    if (!this.#isIndexed(app)) return false
    if (this.#waiting >= CHANGES_MOST) this.#forgetChanges()
    const name = nameOf(peer)
    const number = partitionOf(name)
    const key = keyOf({ app, number })
    let partition = this.#partitions.get(key)
    if (partition === undefined) {
      partition = { app, number, changes: new Map(), writing: undefined, timer: undefined, hasFailed: false }
      this.#partitions.set(key, partition)
    }
    this.#wait(partition, name, change)
    this.#writeIn(0, partition)
    return true
  }

  /** A change replaces one that waits, unless that one is about a newer claim. */
  #wait({ changes }: Partition, name: Name, change: Waiting): void {
    const known = changes.get(name)
    if (known !== undefined && known.over > change.over) return
    if (known?.type === 'drop' && change.type === 'drop') change.from = Math.min(known.from, change.from)
    if (known === undefined) this.#waiting++
    changes.set(name, change)
  }

  // What should have been removed then ends by itself.
  #forgetChanges(): void {
    for (const { changes } of this.#partitions.values()) changes.clear()
    this.#waiting = 0
    this.#mustRewrite = true
    this.#options.onError(new RegistryUnavailable('too many changes of the index wait; it is written anew'), {
      stage: 'index',
    })
  }

  #writeIn(ms: number, partition: Partition): void {
    const { timer, writing, hasFailed } = partition
    if (timer !== undefined || writing !== undefined || hasFailed || this.#isStopped) return
    partition.timer = this.#options.clock.after(ms, () => {
      partition.timer = undefined
      if (partition.hasFailed || partition.writing !== undefined) return
      if (partition.changes.size > 0) void this.#write(partition)
      else this.#partitions.delete(keyOf(partition))
    })
  }

  async #flush(partition: Partition): Promise<void> {
    // These changes were taken before. Those that wait now follow them.
    await partition.writing
    for (let left = partition.changes.size; left > 0 && !partition.hasFailed; left -= CHANGES_PER_WRITE)
      await this.#write(partition)
  }

  /** Writes the oldest changes of a partition. One write of a partition at a time keeps their order. */
  #write(partition: Partition): Promise<void> {
    partition.writing ??= this.#writeNow(partition).finally(() => {
      partition.writing = undefined
      this.#writeIn(PAUSE_MS * (1 + PAUSE_JITTER * (2 * Math.random() - 1)), partition)
    })
    return partition.writing
  }

  async #writeNow(partition: Partition): Promise<void> {
    const { index, clock, onError } = this.#options
    const { app, number } = partition
    const taken = this.#take(partition)
    const now = clock.monotonic()
    const changes = taken
      .map(([name, change]) => changeOf(name, change, now))
      .filter((one) => one !== undefined)
    try {
      if (changes.length > 0) await index.write(app, number, changes)
    } catch (error) {
      onError(error, { stage: 'index' })
      partition.hasFailed = true
      for (const [name, change] of taken) this.#wait(partition, name, change)
    }
  }

  #take(partition: Partition): [Name, Waiting][] {
    const { changes } = partition
    if (changes.size <= CHANGES_PER_WRITE) {
      partition.changes = new Map()
      this.#waiting -= changes.size
      return [...changes]
    }
    const taken: [Name, Waiting][] = []
    for (const change of changes) {
      if (taken.length >= CHANGES_PER_WRITE) break
      taken.push(change)
    }
    for (const [name] of taken) changes.delete(name)
    this.#waiting -= taken.length
    return taken
  }

  /** Writes all names, a share at a time. If that fails, the next beat begins anew. */
  async #rewrite(): Promise<void> {
    if (!this.#mustRewrite || this.#isRewriting) return
    this.#isRewriting = true
    this.#mustRewrite = false
    let put = 0
    for (const { lease, ttlMs } of this.#options.leases()) {
      if (!this.put(lease, ttlMs)) continue
      put++
      if (put % REWRITE_BATCH > 0) continue
      await this.flush()
      if (this.#isStopped) return
      if (this.#hasFailed()) {
        this.#mustRewrite = true
        break
      }
    }
    this.#isRewriting = false
  }

  #hasFailed(): boolean {
    for (const { hasFailed } of this.#partitions.values()) if (hasFailed) return true
    return false
  }
}

function keyOf({ app, number }: Pick<Partition, 'app' | 'number'>): string {
  return `${app}#${number}`
}

/** Undefined if the entry would have ended by now. */
function changeOf(name: Name, change: Waiting, now: number): IndexChange | undefined {
  if (change.type === 'drop') return { name, ...change }
  const ttlMs = TTL_STEP_MS * Math.ceil((change.until - now) / TTL_STEP_MS)
  if (ttlMs <= 0) return undefined
  const { node, state, since, epoch } = change.lease
  return { type: 'put', entry: { name, node, state, since, epoch }, over: change.over, ttlMs }
}
