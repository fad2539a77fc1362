import { randomBytes } from 'node:crypto'
import type { NodeId } from '@peerage/protocol'
import { parseNodeId } from '@peerage/protocol'
import type { Backend, OnError } from '../backend.js'
import type { Clock, Timer } from '../lib/clock.js'
import type { Times } from '../times.js'

export interface PulseOptions {
  backend: Backend
  times: Times
  clock: Clock
  /** Takes what other nodes send, under the identity of now. Resolves when the subscription stands. */
  listen: () => Promise<void>
  /** This process goes on as `to`: its names follow. Rejects with RegistryUnavailable, and is asked again. */
  move: (to: NodeId, from: NodeId) => Promise<void>
  /** Names may be gone from the store, or were not renewed in time: writes them back. */
  restore: () => Promise<void>
  /** The view of the nodes is new. */
  seen: () => void
  /** Once a beat: a share of what must be renewed or looked at. */
  turn: () => Promise<void>
  /** Once a beat, also when it fails. */
  always: () => void
  onLapse: (former: NodeId, node: NodeId) => void
  onError: OnError
}

/**
 * The lease of this node. `none`: it never had one, and so no names to lose. `held`: until then by the monotonic clock,
 * counted from before the request that renewed it. `lapsed`: the store has let go of it.
 */
type NodeLease = { state: 'none' } | { state: 'held'; until: number } | { state: 'lapsed' }

/**
 * The heartbeat of a node: renews its lease, and with it the right to act for the cluster [I12]; takes a new
 * identity when the lease has lapsed; and brings back what a doubt puts in question. One beat at a time; a step that
 * fails is taken again by the next beat.
 */
export class Pulse {
  readonly #options: PulseOptions
  #id: NodeId = mintNodeId()
  #timer: Timer | undefined
  #beating: Promise<void> | undefined
  #stopped = false
  #lease: NodeLease = { state: 'none' }
  #listening = false
  #doubt = false
  /** Since its last beat it has written its names back: the others wait to hear that. */
  #untold = false
  /** The identity that names still stand under: they have yet to follow. */
  #former: NodeId | undefined
  #recoveredAt = Number.NEGATIVE_INFINITY
  /** Why the last beat failed. */
  #failure: string | undefined

  constructor(options: PulseOptions) {
    this.#options = options
  }

  /** Which process of the cluster this is; a new one after a lapse [I7]. */
  get id(): NodeId {
    return this.#id
  }

  /**
   * This node may not act for the cluster [I12]: it holds no lease, or its time is over. Every entry point asks, for
   * after a pause of the process a timer would come too late.
   */
  get fenced(): boolean {
    return this.#lease.state !== 'held' || this.#options.clock.monotonic() >= this.#lease.until
  }

  /** Whether this node takes part in the cluster: it may act for it, and other nodes reach it. */
  get active(): boolean {
    return this.#listening && !this.fenced
  }

  /** Why it does not take part; `why` in words for an operator. Undefined: it does. */
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

  /** True for two beats after the store came back: what is absent may have yet to be written back. */
  get recovering(): boolean {
    return this.#options.clock.monotonic() - this.#recoveredAt < 2 * this.#options.times.beatMs
  }

  /** What the store holds is in question: everything is written back with the next beat, which is now. */
  doubt(): void {
    this.#recoveredAt = this.#options.clock.monotonic()
    this.#doubt = true
    this.#beatIn(0)
  }

  /** Never rejects: what fails is reported, and the next beat tries again. */
  beat(): Promise<void> {
    this.#beating ??= this.#steps()
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
        this.#options.always()
        const soon = (this.#doubt || this.#untold) && this.#failure === undefined
        this.#beatIn(soon ? 0 : this.#options.times.beatMs)
      })
    return this.#beating
  }

  /** No more beats; resolves when the one under way has ended. */
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

  async #steps(): Promise<void> {
    const { clock, times, seen, turn } = this.#options
    const lacksNames = this.#doubt || (this.fenced && this.#lease.state !== 'none')
    const startedAt = await this.#renew(!lacksNames && this.#former === undefined)
    this.#untold = false
    seen()
    if (!this.#listening) await this.#listen()
    await this.#follow()
    // Not before its names have followed: until then other nodes take them for a dead node's.
    this.#lease = { state: 'held', until: startedAt + times.nodeLeaseMs }
    if (this.#doubt || lacksNames) await this.#restore(clock.monotonic())
    await turn()
  }

  /** Renews the lease, under a new identity if it has lapsed. Returns when the request that did it was made. */
  async #renew(settled: boolean): Promise<number> {
    const { backend, clock, onLapse } = this.#options
    const startedAt = clock.monotonic()
    if ((await backend.nodes.beat(settled)) === 'alive') return startedAt
    const former = this.#id
    if (this.#lease.state === 'held') this.#lease = { state: 'lapsed' }
    this.#id = mintNodeId()
    this.#listening = false
    this.#former ??= former
    onLapse(former, this.#id)
    backend.identify(this.#id)
    const again = clock.monotonic()
    // Its names have yet to follow.
    await backend.nodes.beat(false)
    return again
  }

  async #listen(): Promise<void> {
    await this.#options.listen()
    this.#listening = true
  }

  async #follow(): Promise<void> {
    if (this.#former === undefined) return
    await this.#options.move(this.#id, this.#former)
    this.#former = undefined
    this.#untold = true
  }

  async #restore(now: number): Promise<void> {
    // A doubt that comes meanwhile is another one.
    this.#doubt = false
    this.#recoveredAt = now
    try {
      await this.#options.restore()
      this.#untold = true
    } catch (error) {
      this.#doubt = true
      throw error
    }
  }
}

/** A fresh NodeId: 48 random bits, so that a restarted node never inherits [I7]. */
export function mintNodeId(): NodeId {
  const minted = parseNodeId(randomBytes(6).toString('base64url'))
  if (!minted.ok) throw new Error(minted.problem)
  return minted.value
}
