import { randomBytes } from 'node:crypto'
import type { NodeId } from '@peerage/protocol'
import { parseNodeId } from '@peerage/protocol'
import type { Backend, OnError } from '../backend.js'
import type { Clock, Timer } from '../lib/clock.js'
import type { Times } from '../times.js'

export interface NodeHeartbeatOptions {
  backend: Backend
  times: Times
  clock: Clock
  /** Subscribes to the bus under the current identity. Resolves when the subscription is active. */
  listen: () => Promise<void>
  /**
   * This process has the new identity `to`: moves its names to it. Rejects with RegistryUnavailable, and is called
   * again.
   */
  moveNames: (to: NodeId, from: NodeId) => Promise<void>
  /** Names may be lost from the store, or were not renewed in time: writes them back. */
  restore: () => Promise<void>
  /** The view of the nodes was read anew. */
  onView: () => void
  /** Once a beat: renews and checks one share of everything. */
  onBeat: () => Promise<void>
  /** After each beat, even a failed one. */
  afterBeat: () => void
  onLapse: (former: NodeId, node: NodeId) => void
  onError: OnError
}

/**
 * The lease of this node. `none`: it never had one, and so has no names to lose. `held`: until `until` by the
 * monotonic clock, counted from before the request that renewed it. `lapsed`: the store has ended it.
 */
type NodeLease = { state: 'none' } | { state: 'held'; until: number } | { state: 'lapsed' }

/**
 * The heartbeat of a node. It renews the node's lease, and with it the right to act for the cluster [I12]. It takes a
 * new identity when the lease has lapsed. It writes everything back when the store may have lost data. Beats do not
 * overlap. The next beat repeats a step that failed.
 */
export class NodeHeartbeat {
  readonly #options: NodeHeartbeatOptions
  #id: NodeId = mintNodeId()
  #timer: Timer | undefined
  #beating: Promise<void> | undefined
  #stopped = false
  #lease: NodeLease = { state: 'none' }
  #listening = false
  #mustRestore = false
  /** True if it has written its names back since its last beat. The next beat tells the other nodes, which wait for it. */
  #mustReport = false
  /** The former identity, while names still have to move from it. */
  #formerId: NodeId | undefined
  #recoveredAt = Number.NEGATIVE_INFINITY
  /** Why the last beat failed. */
  #failure: string | undefined

  constructor(options: NodeHeartbeatOptions) {
    this.#options = options
  }

  /** The identity of this process in the cluster. It changes after a lapse [I7]. */
  get id(): NodeId {
    return this.#id
  }

  /**
   * True while this node may not act for the cluster [I12]: it holds no lease, or the lease has ended. Every entry
   * point reads this, because after a pause of the process a timer would fire too late.
   */
  get fenced(): boolean {
    return this.#lease.state !== 'held' || this.#options.clock.monotonic() >= this.#lease.until
  }

  /** Whether this node takes part in the cluster: it may act for it, and other nodes can reach it. */
  get active(): boolean {
    return this.#listening && !this.fenced
  }

  /** Why it does not take part, with a text for the operator in `why`. Undefined if it takes part. */
  get unready(): { reason: 'starting' | 'fenced' | 'listening'; why: string } | undefined {
    const because = this.#failure === undefined ? '' : `: ${this.#failure}`
    if (this.#lease.state === 'none')
      return { reason: 'starting', why: `starting: the node has no lease yet${because}` }
    if (this.fenced)
      return { reason: 'fenced', why: `fenced: the node lease could not be renewed in time${because}` }
    if (!this.#listening)
      return { reason: 'listening', why: `not listening to the other nodes yet${because}` }
    return undefined
  }

  /** True for two beats after the store came back, because an absent name may not have been written back yet. */
  get recovering(): boolean {
    return this.#options.clock.monotonic() - this.#recoveredAt < 2 * this.#options.times.beatMs
  }

  /** The store may have lost data: beats now, and writes everything back. */
  restoreSoon(): void {
    this.#recoveredAt = this.#options.clock.monotonic()
    this.#mustRestore = true
    this.#beatIn(0)
  }

  /** Never rejects: a failure is reported, and the next beat tries again. */
  beat(): Promise<void> {
    this.#beating ??= this.#runBeat()
      .then(
        () => {
          this.#failure = undefined
        },
        (error: unknown) => {
          this.#failure = error instanceof Error ? error.message : String(error)
          this.#options.onError(error, { stage: 'beat' })
        },
      )
      .finally(() => {
        this.#beating = undefined
        this.#options.afterBeat()
        const soon = (this.#mustRestore || this.#mustReport) && this.#failure === undefined
        this.#beatIn(soon ? 0 : this.#options.times.beatMs)
      })
    return this.#beating
  }

  /** Stops the beats. Resolves when a running beat has ended. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#beating
  }

  #beatIn(ms: number): void {
    this.#timer?.cancel()
    if (this.#stopped) return
    this.#timer = this.#options.clock.after(ms, () => void this.beat())
  }

  async #runBeat(): Promise<void> {
    const { clock, times, onView, onBeat } = this.#options
    const lacksNames = this.#mustRestore || (this.fenced && this.#lease.state !== 'none')
    const startedAt = await this.#renew(!lacksNames && this.#formerId === undefined)
    this.#mustReport = false
    onView()
    if (!this.#listening) await this.#listen()
    await this.#moveNames()
    // The lease is held only after the names have moved, because until then other nodes see them as names of a dead node.
    this.#lease = { state: 'held', until: startedAt + times.nodeLeaseMs }
    if (this.#mustRestore || lacksNames) await this.#restore(clock.monotonic())
    await onBeat()
  }

  /** Renews the lease, under a new identity if it has lapsed. Returns when the request that renewed it was made. */
  async #renew(settled: boolean): Promise<number> {
    const { backend, clock, onLapse } = this.#options
    const startedAt = clock.monotonic()
    if ((await backend.nodes.beat(settled)) === 'alive') return startedAt
    const former = this.#id
    if (this.#lease.state === 'held') this.#lease = { state: 'lapsed' }
    this.#id = mintNodeId()
    this.#listening = false
    this.#formerId ??= former
    onLapse(former, this.#id)
    backend.identify(this.#id)
    const again = clock.monotonic()
    // Its names have not moved yet.
    await backend.nodes.beat(false)
    return again
  }

  async #listen(): Promise<void> {
    await this.#options.listen()
    this.#listening = true
  }

  async #moveNames(): Promise<void> {
    if (this.#formerId === undefined) return
    await this.#options.moveNames(this.#id, this.#formerId)
    this.#formerId = undefined
    this.#mustReport = true
  }

  async #restore(now: number): Promise<void> {
    // A loss that is reported from now on needs another run.
    this.#mustRestore = false
    this.#recoveredAt = now
    try {
      await this.#options.restore()
      this.#mustReport = true
    } catch (error) {
      this.#mustRestore = true
      throw error
    }
  }
}

/** A new NodeId: 48 random bits, so that a restarted node is never taken for its predecessor [I7]. */
export function mintNodeId(): NodeId {
  const minted = parseNodeId(randomBytes(6).toString('base64url'))
  if (!minted.ok) throw new Error(minted.problem)
  return minted.value
}
