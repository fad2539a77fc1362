import type { NodeId } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock, Timer } from '../lib/clock.js'
import type { Nodes } from './nodes.js'
import type { NodeHeartbeat } from './node-heartbeat.js'
import type { Times } from '../times.js'

export interface SettlingOptions {
  heartbeat: NodeHeartbeat
  nodes: Nodes
  clock: Clock
  times: Times
  /** This node has started, and waits before it takes peers: why, and for how many milliseconds at most. */
  onWait: (why: string, ms: number) => void
  onError: OnError
}

type State =
  /** Before the first read of the nodes. */
  { is: 'starting' } | Unsettled | { is: 'settled'; createdAt: number }

interface Unsettled {
  is: 'unsettled'
  /** Whether this node has been settled before. */
  wasSettled: boolean
  /** Registry time. A node that has settled since then has written its names back. */
  since: number
  /** Registry time before which this node may not become settled. */
  notBefore: number
  createdAt: number
  /** Monotonic time after which our own names count as written back, even if writing them failed. */
  giveUpAt: number
  restored: boolean
  /** Nodes that may hold names which the registry has forgotten, and when their leases end (monotonic time). */
  awaited: Map<NodeId, number>
}

/** How often the registry is polled while this node waits for others. */
const POLL_MS = 100
/** With many nodes each polls less often, so that all of them together poll at most a thousand times a second. */
const POLL_MS_PER_NODE = 1

/**
 * Whether a name that the registry does not know is free [I10].
 *
 * After the registry may have lost names, some names exist only in the memory of the nodes that hold them. Each node
 * writes its names back, and then says so with its beats: it has settled. An absent name may belong to any node that
 * was live before the loss. Nobody may take an absent name until each of those nodes has settled, has left, or has
 * passed the end of its lease.
 *
 * A node that has just started knows no others. It waits until the set of nodes is so old that every living node has
 * beaten since it was created, and until all of them have settled.
 */
export class Settling {
  readonly #options: SettlingOptions
  #state: State = { is: 'starting' }
  /** Nodes that were live at the last read, and when their leases end (monotonic time). */
  #live = new Map<NodeId, number>()
  readonly #waiting = new Set<(settled: boolean) => void>()
  #timer: Timer | undefined

  constructor(options: SettlingOptions) {
    this.#options = options
  }

  get settled(): boolean {
    return this.#state.is === 'settled'
  }

  /** Whether this node has ever been settled. Until then it should not be sent peers. */
  get wasEverSettled(): boolean {
    return this.#state.is === 'settled' || (this.#state.is === 'unsettled' && this.#state.wasSettled)
  }

  /** The registry may have lost names: not settled until all nodes have written theirs back. */
  unsettle(): void {
    const { nodes, clock, times } = this.#options
    const state = this.#state
    if (state.is === 'starting') return
    const { now, createdAt } = nodes.view()
    const isEmptied = createdAt !== 0 && createdAt !== state.createdAt
    const awaited = new Map(state.is === 'unsettled' ? [...state.awaited, ...this.#live] : this.#live)
    this.#state = {
      is: 'unsettled',
      wasSettled: this.wasEverSettled,
      // A node that has settled in an emptied registry did so after it was emptied.
      since: isEmptied ? createdAt : now,
      notBefore:
        state.is === 'unsettled' && !state.wasSettled ? createdAt + times.beatMs + times.commandMs : 0,
      createdAt,
      giveUpAt: clock.monotonic() + times.nodeLeaseMs,
      restored: false,
      awaited,
    }
    this.#pollLater()
  }

  /** All names of this node are written back. */
  restored(): void {
    if (this.#state.is !== 'unsettled') return
    this.#state.restored = true
    this.update()
  }

  /** Reads the view of the nodes after it has changed. */
  update(): void {
    const { nodes, times, clock } = this.#options
    const { now, createdAt, nodes: seen } = nodes.view()
    const isFirst = this.#state.is === 'starting'
    if (this.#state.is === 'starting')
      this.#state = {
        is: 'unsettled',
        wasSettled: false,
        since: createdAt,
        notBefore: createdAt + times.beatMs + times.commandMs,
        createdAt,
        giveUpAt: clock.monotonic(),
        restored: true,
        awaited: new Map(),
      }
    const monotonic = clock.monotonic()
    this.#live = new Map()
    for (const [node, { end }] of seen)
      if (end > now && node !== this.#options.heartbeat.id) this.#live.set(node, monotonic + end - now)
    if (this.#state.is === 'settled') return
    this.#await(this.#state)
    if (this.#isDone(this.#state, now)) this.#settle(createdAt)
    else {
      if (isFirst) this.#tellWait(this.#state, now)
      this.#pollLater()
    }
  }

  #tellWait({ notBefore, awaited }: Unsettled, now: number): void {
    const isNew = notBefore > now
    const why = isNew
      ? 'the store was empty a moment ago: this node waits for names that other nodes may write back'
      : 'this node waits until the other nodes have written their names back'
    const monotonic = this.#options.clock.monotonic()
    const lasts = [...awaited.values()].map((until) => until - monotonic)
    this.#options.onWait(why, Math.ceil(Math.max(notBefore - now, ...lasts)))
  }

  /** Resolves with true when settled, with false when that takes longer than `ms`. */
  wait(ms: number): Promise<boolean> {
    if (this.settled) return Promise.resolve(true)
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(ms, () => answer(false))
      const answer = (settled: boolean): void => {
        timer.cancel()
        this.#waiting.delete(answer)
        resolve(settled)
      }
      this.#waiting.add(answer)
    })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    for (const answer of this.#waiting) answer(false)
  }

  #await({ since, awaited }: Unsettled): void {
    const { nodes, heartbeat } = this.#options
    const { now, nodes: seen } = nodes.view()
    // Nodes that have appeared since the loss are awaited as well.
    for (const [node, until] of this.#live) if (!awaited.has(node)) awaited.set(node, until)
    for (const node of awaited.keys()) {
      const at = seen.get(node)
      const hasEnded = at !== undefined && at.end <= now
      const hasSettled = at !== undefined && at.settledAt >= since
      if (node === heartbeat.id || hasEnded || hasSettled) awaited.delete(node)
    }
  }

  #isDone({ restored, giveUpAt, notBefore, awaited }: Unsettled, now: number): boolean {
    const monotonic = this.#options.clock.monotonic()
    if (!restored && monotonic < giveUpAt) return false
    for (const until of awaited.values()) if (until > monotonic) return false
    return now >= notBefore
  }

  #settle(createdAt: number): void {
    this.#state = { is: 'settled', createdAt }
    this.#timer?.cancel()
    this.#timer = undefined
    for (const answer of this.#waiting) answer(true)
  }

  #pollLater(): void {
    if (this.#timer !== undefined) return
    const { clock, nodes, onError } = this.#options
    const ms = Math.max(POLL_MS, this.#live.size * POLL_MS_PER_NODE)
    this.#timer = clock.after(ms, () => {
      this.#timer = undefined
      if (this.settled) return
      nodes.refresh().then(
        () => this.update(),
        (error: unknown) => {
          onError(error, { stage: 'settle' })
          this.#pollLater()
        },
      )
    })
  }
}
