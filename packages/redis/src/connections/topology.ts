import type { Clock, OnError, Timer } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import slotOf from 'cluster-key-slot'

/** Redis Cluster specification, «Key distribution model». */
const SLOTS = 16_384
/** With three masters a word misses one of them two times in three; after 500, never. */
const WORDS_MOST = 500

/** Which master serves which slots. */
export class SlotMap {
  /** Of each slot: `host:port` of its master, or undefined. */
  readonly #owners: (string | undefined)[] = []
  readonly masters = new Set<string>()

  /** Reads the answer to CLUSTER SLOTS; undefined: not such an answer. */
  static read(answer: unknown): SlotMap | undefined {
    if (!Array.isArray(answer)) return undefined
    const map = new SlotMap()
    for (const range of answer) {
      if (!Array.isArray(range)) return undefined
      const [from, to, master] = range.map((item: unknown) => item)
      if (typeof from !== 'number' || typeof to !== 'number' || !Array.isArray(master)) return undefined
      const [host, port] = master.map((item: unknown) => item)
      // A node that does not know its own address yet says '' or null.
      if (typeof host !== 'string' || host === '' || typeof port !== 'number') continue
      map.masters.add(`${host}:${port}`)
      for (let slot = from; slot <= to && slot < SLOTS; slot++) map.#owners[slot] = `${host}:${port}`
    }
    return map.masters.size === 0 ? undefined : map
  }

  owner(channel: string): string | undefined {
    return this.#owners[slotOf(channel)]
  }

  /** Of the channels or keys that `named` makes of words, one that each master serves. */
  oneEach(named: (word: string) => string): Map<string, string> {
    const found = new Map<string, string>()
    for (let word = 0; found.size < this.masters.size && word < WORDS_MOST; word++) {
      const key = named(String(word))
      const master = this.owner(key)
      if (master !== undefined && !found.has(master)) found.set(master, key)
    }
    return found
  }

  /** Whether any slot has another master here. */
  differs(from: SlotMap): boolean {
    for (let slot = 0; slot < SLOTS; slot++) if (this.#owners[slot] !== from.#owners[slot]) return true
    return false
  }
}

export interface TopologyOptions {
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
/** Many doubts of one moment are one look. */
const DOUBT_MS = 5
/** Until all of a Cluster have heard of a change: who is asked may be the last of them. */
const DOUBT_LASTS_MS = 1_000

/** Who serves which slot of a Cluster, as of a moment ago. */
export class Topology {
  readonly #options: TopologyOptions
  #slots: SlotMap | undefined
  #timer: Timer | undefined
  #dueAt = 0
  #refreshing = false
  #doubtedUntil = Number.NEGATIVE_INFINITY
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

  /** Something is not where it was. Doubts that go on do not put the look off. */
  doubt(): void {
    this.#doubtedUntil = this.#options.clock.monotonic() + DOUBT_LASTS_MS
    if (!this.#refreshing) this.#refreshIn(DOUBT_MS)
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
      // That there is no connection, health says already.
      if (!(error instanceof RegistryUnavailable)) onError(error, { stage: 'slots' })
    } finally {
      this.#refreshing = false
      const calm = this.#slots && settled() && clock.monotonic() >= this.#doubtedUntil
      this.#refreshIn(calm ? REFRESH_MS : REFRESH_AGAIN_MS)
    }
  }
}
