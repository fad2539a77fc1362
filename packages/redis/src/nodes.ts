import type { NodeId } from '@peerage/protocol'
import { parseNodeId } from '@peerage/protocol'
import type { Clock, NodeSeen, NodeStatus, Nodes, NodesView, OnError, Times } from '@peerage/core'
import { RegistryUnavailable, checkAnnouncement, deadRetentionMs } from '@peerage/core'
import { Announcements } from './announcements.js'
import type { MasterMarks } from './master-marks.js'
import type { Commands } from './connections/commands.js'
import { readStrings } from './connections/commands.js'
import type { Keys } from './keys.js'
import { MARK } from './keys.js'
import { beatScript, leaveScript, viewScript } from './scripts/nodes.js'

export interface RedisNodesOptions {
  commands: Commands
  keys: Keys
  times: Times
  clock: Clock
  /** Only on a Cluster: when each master was last empty. The set of nodes shows this only for its own server. */
  masterMarks?: MasterMarks
  onError: OnError
  /** The set of nodes was created anew, or has lost this node: keys were lost. */
  onLoss: () => void
}

/** What the last beat saw, with Redis's clock and ours at that moment. */
interface Snapshot {
  redisNow: number
  seenAt: number
  createdAt: number
  nodes: Map<NodeId, NodeSeen>
}

/** An epoch up to this far ahead of the clock says nothing new about the clock, because each claim's epoch may be that. */
const EPOCH_AHEAD_MS = 5

/** The nodes of the cluster: one sorted set, which each beat reads as a whole. */
export class RedisNodes implements Nodes {
  readonly #options: RedisNodesOptions
  readonly #announcements: Announcements
  #self: NodeId | undefined
  /**
   * Until this time (monotonic) this node may be added to the set: before its first beat always, then within its
   * lease.
   */
  #leaseEndsAt = Number.POSITIVE_INFINITY
  #snapshot: Snapshot = { redisNow: 0, seenAt: 0, createdAt: 0, nodes: new Map() }
  /**
   * The greatest Redis time that was ever seen, minus our monotonic time. Added to our monotonic time, it never steps
   * back.
   */
  #greatestOffset = Number.NEGATIVE_INFINITY
  #refreshing: Promise<void> | undefined
  /** Nodes that hold names but are not in the view, and since when. */
  readonly #missing = new Map<NodeId, number>()

  constructor(options: RedisNodesOptions) {
    this.#options = options
    this.#announcements = new Announcements(options)
  }

  identify(node: NodeId): void {
    this.#self = node
    this.#leaseEndsAt = Number.POSITIVE_INFINITY
    this.#announcements.forget()
  }

  async beat(settled = true): Promise<'alive' | 'lapsed'> {
    const { commands, keys, times, clock, onLoss } = this.#options
    const self = this.#self
    if (self === undefined) throw new RegistryUnavailable('beat() was called before identify()')
    const startedAt = clock.monotonic()
    const isNew = this.#leaseEndsAt === Number.POSITIVE_INFINITY
    const mayAppear = startedAt < this.#leaseEndsAt
    const settledAt = await this.#checkMasterMarks(isNew)
    const retentionMs = deadRetentionMs(times)
    const flags = [mayAppear ? 1 : 0, settled ? settledAt : 0, isNew ? 1 : 0]
    const args = [self, times.nodeLeaseMs, retentionMs, ...flags]
    const { createdAt } = this.#snapshot
    const answer = await commands.script(beatScript, keys.nodes(), args)
    const [alive, wasThere] = this.#see(answer)
    if (self !== this.#self) return 'lapsed'
    if (!alive) return 'lapsed'
    this.#leaseEndsAt = startedAt + times.nodeLeaseMs
    this.#announcements.renew(self)
    if (!isNew && !wasThere && this.#snapshot.createdAt === createdAt) onLoss()
    return 'alive'
  }

  status(node: NodeId): NodeStatus {
    const seen = this.#snapshot.nodes.get(node)
    if (seen === undefined) return { state: 'unknown' }
    const deadForMs = this.#redisNow() - seen.end
    return deadForMs < 0 ? { state: 'live' } : { state: 'dead', deadForMs }
  }

  list(): { node: NodeId; status: NodeStatus }[] {
    return [...this.#snapshot.nodes.keys()].map((node) => ({ node, status: this.status(node) }))
  }

  async announce(text: string): Promise<void> {
    checkAnnouncement(text)
    if (this.#self === undefined) throw new RegistryUnavailable('announce() was called before identify()')
    await this.#announcements.announce(this.#self, text)
  }

  announced(node: NodeId): Promise<string | undefined> {
    return this.#announcements.read(node)
  }

  async leave(): Promise<void> {
    const { commands, keys, times } = this.#options
    if (this.#self === undefined) return
    this.#leaseEndsAt = Number.NEGATIVE_INFINITY
    const args = [this.#self, times.graceMs + 1, times.nodeLeaseMs + deadRetentionMs(times)]
    await Promise.all([
      commands.script(leaveScript, keys.nodes(), args),
      this.#announcements.remove(this.#self),
    ])
  }

  /** Reads the view anew. Overlapping calls share one read. */
  refresh(): Promise<void> {
    const { commands, keys } = this.#options
    this.#refreshing ??= commands
      .script(viewScript, keys.nodes(), [])
      .then((answer) => void this.#see(answer))
      .finally(() => {
        this.#refreshing = undefined
      })
    return this.#refreshing
  }

  /**
   * Whether a node's grace has passed [I6]. There are three reasons why a node may be absent from the view: it is newer
   * than the view, it was flushed with the set and will be back at its next beat, or it was forgotten long ago. Such a
   * node counts as dead one node lease after we first missed it, because it may have had a lease until then.
   */
  isAbandoned(node: NodeId): boolean {
    const { times, clock } = this.#options
    const status = this.status(node)
    switch (status.state) {
      case 'live':
        return false
      case 'dead':
        return status.deadForMs > times.graceMs
      case 'unknown': {
        const now = clock.monotonic()
        const since = this.#missing.get(node)
        if (since === undefined) this.#missing.set(node, now)
        return since !== undefined && now - since > times.nodeLeaseMs + times.graceMs
      }
    }
  }

  view(): NodesView {
    const { createdAt, nodes } = this.#snapshot
    return { now: this.#redisNow(), createdAt, nodes }
  }

  /** When the set was created, as of the last read; 0: not read yet. */
  get createdAt(): number {
    return this.#snapshot.createdAt
  }

  /** A command found out that the set was created anew since the last read. */
  noticeLoss(): void {
    this.#options.onLoss()
  }

  presented(): number {
    return Math.max(0, Math.ceil(this.#greatestOffset + this.#options.clock.monotonic()))
  }

  /** Takes notice of an epoch from another node, which may have seen a later time than this node [I2]. */
  sawEpoch(epoch: number): void {
    if (epoch > this.presented() + EPOCH_AHEAD_MS) this.#sawTime(epoch)
  }

  /** The registry time after which the caller of a command that is sent now has given up; 0: not known yet. */
  commandDeadline(): number {
    if (this.#snapshot.redisNow === 0) return 0
    return Math.ceil(this.#redisNow() + this.#options.times.commandMs)
  }

  /** The same, but not after the end of this node's own lease. */
  ownCommandDeadline(): number {
    const own = this.#self === undefined ? undefined : this.#snapshot.nodes.get(this.#self)
    return own === undefined
      ? this.commandDeadline()
      : Math.min(this.commandDeadline(), Math.max(1, Math.floor(own.end)))
  }

  /** Redis's clock minus this machine's, in milliseconds; undefined before the first beat. */
  skewMs(): number | undefined {
    return this.#snapshot.redisNow === 0 ? undefined : this.#redisNow() - this.#options.clock.now()
  }

  #redisNow(): number {
    return this.#snapshot.redisNow + this.#options.clock.monotonic() - this.#snapshot.seenAt
  }

  /**
   * The latest time at which this node knows that it was settled, or 0 if it does not know. After that time it may have
   * lost names without noticing. A single server checks this by itself.
   */
  async #checkMasterMarks(isNew: boolean): Promise<number> {
    const { masterMarks } = this.#options
    if (masterMarks === undefined) return Number.MAX_SAFE_INTEGER
    const before = masterMarks.latest
    const checkedAt = Math.floor(this.#redisNow())
    const isWhole = await masterMarks.check()
    if (isNew) return Number.MAX_SAFE_INTEGER
    return isWhole && masterMarks.latest === before ? checkedAt : 0
  }

  #sawTime(redisTime: number): void {
    this.#greatestOffset = Math.max(this.#greatestOffset, redisTime - this.#options.clock.monotonic())
  }

  #see(answer: unknown): [alive: boolean, wasThere: boolean] {
    const [alive, wasThere, now, ...pairs] = readStrings(answer)
    const scores = new Map<string, number>()
    let made = 0
    for (let i = 0; i + 1 < pairs.length; i += 2) {
      const member = pairs[i] ?? ''
      if (member.startsWith(MARK)) made = Number(member.slice(MARK.length)) || 0
      else scores.set(member, Number(pairs[i + 1]))
    }
    const nodes = new Map<NodeId, NodeSeen>()
    for (const [member, end] of scores) {
      const node = parseNodeId(member)
      if (node.ok && Number.isFinite(end))
        nodes.set(node.value, { end, settledAt: scores.get(`s:${member}`) ?? 0 })
    }
    const createdAt = Math.max(made, this.#options.masterMarks?.latest ?? 0)
    const before = this.#snapshot.createdAt
    this.#snapshot = { redisNow: Number(now), seenAt: this.#options.clock.monotonic(), createdAt, nodes }
    this.#sawTime(this.#snapshot.redisNow)
    this.#forgetMissing(nodes)
    if (before !== 0 && before !== createdAt) this.#options.onLoss()
    return [alive === '1', wasThere === '1']
  }

  #forgetMissing(nodes: Snapshot['nodes']): void {
    const longAgo = this.#options.clock.monotonic() - 2 * deadRetentionMs(this.#options.times)
    for (const [node, since] of this.#missing)
      if (nodes.has(node) || since < longAgo) this.#missing.delete(node)
  }
}
