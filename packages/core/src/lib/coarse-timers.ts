import type { Clock, Timer } from './clock.js'

/** All keys whose times are within one slot become due together. */
const SLOT_MS = 250

interface Slot<Key> {
  keys: Set<Key>
  timer: Timer
}

/**
 * A time for each of many keys. Keys become due at the end of their slot of 250 ms, all keys of a slot together, so
 * there is one timer for each slot and not for each key.
 */
export class CoarseTimers<Key> {
  readonly #clock: Clock
  readonly #onDue: (keys: Key[]) => void
  readonly #slots = new Map<number, Slot<Key>>()
  readonly #slotOf = new Map<Key, number>()
  #isStopped = false

  constructor(clock: Clock, onDue: (keys: Key[]) => void) {
    this.#clock = clock
    this.#onDue = onDue
  }

  has(key: Key): boolean {
    return this.#slotOf.has(key)
  }

  /** The key becomes due `ms` from now, up to 250 ms late. If it has a time already, the earlier time counts. */
  add(key: Key, ms: number): void {
    if (this.#isStopped) return
    const now = this.#clock.monotonic()
    const at = Math.floor((now + ms) / SLOT_MS) + 1
    const known = this.#slotOf.get(key)
    if (known !== undefined && known <= at) return
    this.delete(key)
    const slot = this.#slots.get(at) ?? this.#open(at, at * SLOT_MS - now)
    slot.keys.add(key)
    this.#slotOf.set(key, at)
  }

  delete(key: Key): void {
    const at = this.#slotOf.get(key)
    if (at === undefined) return
    this.#slotOf.delete(key)
    const slot = this.#slots.get(at)
    slot?.keys.delete(key)
    if (slot?.keys.size !== 0) return
    slot.timer.cancel()
    this.#slots.delete(at)
  }

  /** Forgets all keys, and takes no more. */
  stop(): void {
    this.#isStopped = true
    for (const { timer } of this.#slots.values()) timer.cancel()
    this.#slots.clear()
    this.#slotOf.clear()
  }

  #open(at: number, ms: number): Slot<Key> {
    const slot = { keys: new Set<Key>(), timer: this.#clock.after(ms, () => this.#end(at)) }
    this.#slots.set(at, slot)
    return slot
  }

  #end(at: number): void {
    const keys = [...(this.#slots.get(at)?.keys ?? [])]
    this.#slots.delete(at)
    for (const key of keys) this.#slotOf.delete(key)
    this.#onDue(keys)
  }
}
