import type { NodeId } from '@peerage/protocol'
import { parseNodeId } from '@peerage/protocol'
import type { Clock, NodeStatus, Nodes, Times } from '@peerage/core'
import { RegistryUnavailable, deadRetentionMs } from '@peerage/core'
import type { Commands } from './command.js'
import { readStrings } from './command.js'
import type { Keys } from './keys.js'
import { beatScript, leaveScript, viewScript } from './scripts.js'

export interface RedisNodesParts {
  commands: Commands
  keys: Keys
  times: Times
  clock: Clock
  /** The set had forgotten this node, which was in it: keys are gone. */
  onAbsent: () => void
}

/** What a beat saw, and when: Redis's clock and ours, taken together. */
interface View {
  redisNow: number
  seenAt: number
  ends: Map<NodeId, number>
}

/** The nodes of the cluster: one sorted set, read whole with each beat. */
export class RedisNodes implements Nodes {
  readonly #parts: RedisNodesParts
  #self: NodeId | undefined
  /** Until then (monotonic) this node may appear in the set: at first always, then within its lease. */
  #within = Number.POSITIVE_INFINITY
  #view: View = { redisNow: 0, seenAt: 0, ends: new Map() }
  #refreshing: Promise<void> | undefined
  /** Nodes that hold names and are in no view: since when that was seen. */
  readonly #missing = new Map<NodeId, number>()

  constructor(parts: RedisNodesParts) {
    this.#parts = parts
  }

  identify(node: NodeId): void {
    this.#self = node
    this.#within = Number.POSITIVE_INFINITY
  }

  async beat(): Promise<'alive' | 'lapsed'> {
    const { commands, keys, times, clock, onAbsent } = this.#parts
    const self = this.#self
    if (self === undefined) throw new RegistryUnavailable('beat before identify')
    const startedAt = clock.monotonic()
    const isNew = this.#within === Number.POSITIVE_INFINITY
    const mayAppear = startedAt < this.#within
    const args = [self, times.nodeLeaseMs, deadRetentionMs(times), mayAppear ? 1 : 0]
    const answer = await commands.script(beatScript, keys.nodes(), args)
    const [alive, wasThere] = this.#see(answer)
    if (self !== this.#self) return 'lapsed'
    if (!alive) return 'lapsed'
    this.#within = startedAt + times.nodeLeaseMs
    if (!wasThere && !isNew) onAbsent()
    return 'alive'
  }

  status(node: NodeId): NodeStatus {
    const end = this.#view.ends.get(node)
    if (end === undefined) return { state: 'unknown' }
    const deadForMs = this.#redisNow() - end
    return deadForMs < 0 ? { state: 'live' } : { state: 'dead', deadForMs }
  }

  list(): { node: NodeId; status: NodeStatus }[] {
    return [...this.#view.ends.keys()].map((node) => ({ node, status: this.status(node) }))
  }

  async leave(): Promise<void> {
    const { commands, keys, times } = this.#parts
    if (this.#self === undefined) return
    this.#within = Number.NEGATIVE_INFINITY
    await commands.script(leaveScript, keys.nodes(), [this.#self, times.graceMs + 1])
  }

  /** Reads the view anew; calls that overlap are one. */
  refresh(): Promise<void> {
    const { commands, keys } = this.#parts
    this.#refreshing ??= commands
      .script(viewScript, keys.nodes(), [])
      .then((answer) => void this.#see(answer))
      .finally(() => {
        this.#refreshing = undefined
      })
    return this.#refreshing
  }

  /**
   * Whether a node's grace has passed [I6]. A node in no view is either newer than our view, or was flushed with the
   * set and will be back by its next beat, or is long forgotten: it counts as dead from when it was first missed,
   * plus a lease that it may have had.
   */
  isAbandoned(node: NodeId): boolean {
    const { times, clock } = this.#parts
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

  /** The registry time after which a command that is given now has been given up; 0: not known yet. */
  latest(): number {
    if (this.#view.redisNow === 0) return 0
    return Math.ceil(this.#redisNow() + this.#parts.times.commandMs)
  }

  /** Redis's clock against this machine's, in milliseconds; undefined before the first beat. */
  skewMs(): number | undefined {
    return this.#view.redisNow === 0 ? undefined : this.#redisNow() - this.#parts.clock.now()
  }

  #redisNow(): number {
    return this.#view.redisNow + this.#parts.clock.monotonic() - this.#view.seenAt
  }

  #see(answer: unknown): [alive: boolean, wasThere: boolean] {
    const [alive, wasThere, now, ...pairs] = readStrings(answer)
    const ends = new Map<NodeId, number>()
    for (let i = 0; i + 1 < pairs.length; i += 2) {
      const node = parseNodeId(pairs[i])
      const end = Number(pairs[i + 1])
      if (node.ok && Number.isFinite(end)) ends.set(node.value, end)
    }
    this.#view = { redisNow: Number(now), seenAt: this.#parts.clock.monotonic(), ends }
    this.#forgetMissing(ends)
    return [alive === '1', wasThere === '1']
  }

  #forgetMissing(ends: Map<NodeId, number>): void {
    const longAgo = this.#parts.clock.monotonic() - 2 * deadRetentionMs(this.#parts.times)
    for (const [node, since] of this.#missing)
      if (ends.has(node) || since < longAgo) this.#missing.delete(node)
  }
}
