import type { RoomId } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock, Timer } from '../lib/clock.js'

/** What is sent again in a room. */
export interface Repeat {
  /** Also the texts that have come back. */
  all: boolean
  /** The other nodes are asked for theirs first. */
  asks: boolean
}

export interface RepeatsOptions {
  clock: Clock
  /** Resolves with false if the registry refused something. Then it has been added again. */
  send: (room: RoomId, repeat: Repeat) => Promise<boolean>
  onError: OnError
}

/** The pause after a refusal. */
export const PAUSE_MS = 250
/** Rooms whose texts are sent again at once. Other rooms wait, so that fresh texts come through. */
const ROOMS_AT_ONCE = 20

/** The rooms in which texts are sent again: a few at once, and after a refusal none for a moment. */
export class Repeats {
  readonly #options: RepeatsOptions
  /** `dueAt`: monotonic ms. */
  readonly #rooms = new Map<RoomId, Repeat & { dueAt: number }>()
  #isSending = false
  #isStopped = false
  #pause: { timer: Timer; end: () => void } | undefined

  constructor(options: RepeatsOptions) {
    this.#options = options
  }

  /** Sends again in `inMs`, or up to 250 ms later. What was added for the room before is sent with it. */
  add(id: RoomId, { all, asks, inMs }: Repeat & { inMs: number }): void {
    if (this.#isStopped) return
    const dueAt = this.#options.clock.monotonic() + inMs
    const known = this.#rooms.get(id)
    if (known === undefined) this.#rooms.set(id, { all, asks, dueAt })
    else {
      known.all ||= all
      known.asks ||= asks
      known.dueAt = Math.min(known.dueAt, dueAt)
    }
    if (this.#isSending) return
    this.#isSending = true
    this.#sendAll().catch((error: unknown) => this.#options.onError(error, { stage: 'room texts' }))
  }

  /** Nothing is sent any more. */
  stop(): void {
    this.#isStopped = true
    this.#rooms.clear()
    this.#pause?.timer.cancel()
    this.#pause?.end()
  }

  async #sendAll(): Promise<void> {
    try {
      while (this.#rooms.size > 0) {
        const due = this.#takeDue()
        const sent = await Promise.all(due.map(([id, repeat]) => this.#options.send(id, repeat)))
        if (this.#rooms.size > 0 && (due.length === 0 || sent.includes(false))) await this.#wait()
      }
    } finally {
      // In the same turn in which nothing was left to send, so that what comes a turn later starts anew.
      this.#isSending = false
    }
  }

  #takeDue(): [RoomId, Repeat][] {
    const now = this.#options.clock.monotonic()
    const due: [RoomId, Repeat][] = []
    for (const [id, repeat] of this.#rooms) {
      if (repeat.dueAt > now) continue
      this.#rooms.delete(id)
      if (due.push([id, repeat]) === ROOMS_AT_ONCE) break
    }
    return due
  }

  #wait(): Promise<void> {
    return new Promise((end) => {
      const timer = this.#options.clock.after(PAUSE_MS, end)
      this.#pause = { timer, end }
    })
  }
}
