import type { Clock, OnError, Timer } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import slotOf from 'cluster-key-slot'

/** Redis Cluster specification, «Key distribution model». */
const SLOTS = 16_384
/** With three masters a word misses a given one two times in three; after 500 words, practically never. */
const WORDS_MOST = 500

/** Which master serves which slot. */
export class SlotMap {
  /** For each slot: `host:port` of its master, or undefined. */
  readonly #owners: (string | undefined)[] = []
  readonly masters = new Set<string>()

  /** Reads an answer to CLUSTER SLOTS. Returns undefined for anything else. */
  static read(answer: unknown): SlotMap | undefined {
    if (!Array.isArray(answer)) return undefined
    const map = new SlotMap()
    for (const range of answer) {
      if (!Array.isArray(range)) return undefined
      const [from, to, master] = range.map((item: unknown) => item)
      if (typeof from !== 'number' || typeof to !== 'number' || !Array.isArray(master)) return undefined
      const [host, port] = master.map((item: unknown) => item)
      // A node that does not know its own address yet gives '' or null.
      if (typeof host !== 'string' || host === '' || typeof port !== 'number') continue
      map.masters.add(`${host}:${port}`)
      for (let slot = from; slot <= to && slot < SLOTS; slot++) map.#owners[slot] = `${host}:${port}`
    }
    return map.masters.size === 0 ? undefined : map
  }

  owner(channel: string): string | undefined {
    return this.#owners[slotOf(channel)]
  }

  /** For each master, one channel or key that it serves. `named` makes channels or keys from words until one fits. */
  oneEach(named: (word: string) => string): Map<string, string> {
    const found = new Map<string, string>()
    for (let word = 0; found.size < this.masters.size && word < WORDS_MOST; word++) {
      const key = named(String(word))
      const master = this.owner(key)
      if (master !== undefined && !found.has(master)) found.set(master, key)
    }
    return found
  }

  /** Whether any slot has another master than in `from`. */
  differs(from: SlotMap): boolean {
    for (let slot = 0; slot < SLOTS; slot++) if (this.#owners[slot] !== from.#owners[slot]) return true
    return false
  }
}

export interface TopologyOptions {
  /** Sends CLUSTER SLOTS. */
  askSlots: () => Promise<unknown>
  clock: Clock
  /** Called with each answer. `changed`: a slot has another master than before. */
  onSlots: (slots: SlotMap, changed: boolean) => void
  /** Whether all channels are active on the right masters. Until then the slots are polled more often. */
  settled: () => boolean
  onError: OnError
}

/** How often the slots are polled. They are also read as soon as a server says that one has moved. */
const REFRESH_MS = 1_000
const REFRESH_AGAIN_MS = 100
/** Reports of moved slots within this time cause one read. */
const SUSPECT_DELAY_MS = 5
/**
 * How long slots are polled more often after such a report: the server that we ask may be the last to learn of the
 * change.
 */
const SUSPECT_LASTS_MS = 1_000

/** Keeps track of which master serves which slot of a Cluster. */
export class Topology {
  readonly #options: TopologyOptions
  #slots: SlotMap | undefined
  #timer: Timer | undefined
  #dueAt = 0
  #refreshing = false
  #suspectUntil = Number.NEGATIVE_INFINITY
  #stopped = true

  constructor(options: TopologyOptions) {
    this.#options = options
  }

  start(): void {
    this.#stopped = false
    this.#refreshIn(0)
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  /** A slot seems to have moved. Repeated reports do not delay the next read. */
  suspectMove(): void {
    this.#suspectUntil = this.#options.clock.monotonic() + SUSPECT_LASTS_MS
    if (!this.#refreshing) this.#refreshIn(SUSPECT_DELAY_MS)
  }

  #refreshIn(ms: number): void {
    if (this.#stopped) return
    const { clock } = this.#options
    const at = clock.monotonic() + ms
    if (this.#timer && this.#dueAt <= at) return
    this.#timer?.cancel()
    this.#dueAt = at
    this.#timer = clock.after(ms, () => void this.#refresh())
  }

  async #refresh(): Promise<void> {
    const { askSlots, clock, onSlots, settled, onError } = this.#options
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
      // A missing connection is already reported by Health.
      if (!(error instanceof RegistryUnavailable)) onError(error, { stage: 'slots' })
    } finally {
      this.#refreshing = false
      const calm = this.#slots && settled() && clock.monotonic() >= this.#suspectUntil
      this.#refreshIn(calm ? REFRESH_MS : REFRESH_AGAIN_MS)
    }
  }
}
