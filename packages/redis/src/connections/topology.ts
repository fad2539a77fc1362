import type { Clock, OnError, Timer } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import { SlotMap } from './slots.js'

export interface TopologyParts {
  /** Asks CLUSTER SLOTS. */
  askSlots: () => Promise<unknown>
  clock: Clock
  /** Called with each look at the slots; `changed`: some have another master than before. */
  onSlots: (slots: SlotMap, changed: boolean) => void
  /** Whether everything stands where it belongs; until then, slots are looked at more often. */
  settled: () => boolean
  onError: OnError
}

/** Slots are looked at this often, and at once when a server says that one has moved. */
const REFRESH_MS = 1_000
const REFRESH_AGAIN_MS = 100

/** Who serves which slot of a Cluster, as of a moment ago. */
export class Topology {
  readonly #parts: TopologyParts
  #slots: SlotMap | undefined
  #timer: Timer | undefined
  #dueAt = 0
  #refreshing = false
  #doubtedUntil = Number.NEGATIVE_INFINITY
  #stopped = true

  constructor(parts: TopologyParts) {
    this.#parts = parts
  }

  start(): void {
    this.#stopped = false
    this.#refreshIn(0)
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  /** Something is not where it was. Doubts that go on do not put the look off. */
  doubt(): void {
    this.#doubtedUntil = this.#parts.clock.monotonic() + DOUBT_LASTS_MS
    if (!this.#refreshing) this.#refreshIn(DOUBT_MS)
  }

  #refreshIn(ms: number): void {
    if (this.#stopped) return
    const { clock } = this.#parts
    const at = clock.monotonic() + ms
    if (this.#timer && this.#dueAt <= at) return
    this.#timer?.cancel()
    this.#dueAt = at
    this.#timer = clock.after(ms, () => void this.#refresh())
  }

  async #refresh(): Promise<void> {
    const { askSlots, clock, onSlots, settled, onError } = this.#parts
    this.#timer = undefined
    this.#refreshing = true
    try {
      const slots = SlotMap.read(await askSlots())
      if (slots && !this.#stopped) {
        const before = this.#slots
        this.#slots = slots
        onSlots(slots, before !== undefined && slots.differs(before))
      }
    } catch (error) {
      // That there is no connection, health says already.
      if (!(error instanceof RegistryUnavailable)) onError(error, { stage: 'slots' })
    } finally {
      this.#refreshing = false
      const calm = this.#slots && settled() && clock.monotonic() >= this.#doubtedUntil
      this.#refreshIn(calm ? REFRESH_MS : REFRESH_AGAIN_MS)
    }
  }
}

/** Many doubts of one moment are one look. */
const DOUBT_MS = 5
/** Until all of a Cluster have heard of a change: who is asked may be the last of them. */
const DOUBT_LASTS_MS = 1_000
