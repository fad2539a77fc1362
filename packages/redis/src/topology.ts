import type { Clock, OnError, Timer } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import type { Commands } from './command.js'
import { SlotMap } from './slots.js'

export interface TopologyParts {
  commands: Commands
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
  #refreshing = false
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

  /** Something is not where it was. */
  doubt(): void {
    this.#refreshIn(DOUBT_MS)
  }

  #refreshIn(ms: number): void {
    if (this.#stopped || this.#refreshing) return
    this.#timer?.cancel()
    this.#timer = this.#parts.clock.after(ms, () => void this.#refresh())
  }

  async #refresh(): Promise<void> {
    const { commands, onSlots, settled, onError } = this.#parts
    this.#refreshing = true
    try {
      const slots = SlotMap.read(await commands.run((client) => client.cluster('SLOTS')))
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
      this.#refreshIn(this.#slots && settled() ? REFRESH_MS : REFRESH_AGAIN_MS)
    }
  }
}

/** Many doubts of one moment are one look. */
const DOUBT_MS = 5
