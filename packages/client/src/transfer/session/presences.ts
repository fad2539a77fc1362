import type { Name, PresenceState } from '@peerage/protocol'
import type { Clock, Timer } from '../../lib/clock.js'
import type { Peer } from '../../peer.js'

/** How long to wait before a watch that failed is tried again. */
const AGAIN_MS = 5_000

interface Watched {
  listeners: Set<() => void>
  state: PresenceState | undefined
  timer: Timer | undefined
  isWatched: boolean
}

/** Whether the other peers of the sessions are there. */
export class Presences {
  readonly #peer: Peer
  readonly #clock: Clock
  readonly #watched = new Map<Name, Watched>()
  readonly #stop: () => void

  constructor(peer: Peer, clock: Clock) {
    this.#peer = peer
    this.#clock = clock
    this.#stop = peer.on('presence', ({ name, state }) => {
      const watched = this.#watched.get(name)
      if (watched !== undefined) this.#heard(watched, state)
    })
  }

  /** Undefined: it is not known yet. */
  of(name: Name): PresenceState | undefined {
    return this.#watched.get(name)?.state
  }

  /** Calls the listener at each change. Returns a function that ends this. */
  watch(name: Name, listener: () => void): () => void {
    const watched = this.#watched.get(name) ?? this.#begin(name)
    watched.listeners.add(listener)
    return () => {
      if (!watched.listeners.delete(listener) || watched.listeners.size > 0) return
      this.#watched.delete(name)
      watched.timer?.cancel()
      if (watched.isWatched) this.#peer.unwatch(name)
    }
  }

  close(): void {
    this.#stop()
    for (const [name, { timer, isWatched }] of this.#watched) {
      timer?.cancel()
      if (isWatched) this.#peer.unwatch(name)
    }
    this.#watched.clear()
  }

  #begin(name: Name): Watched {
    const watched: Watched = { listeners: new Set(), state: undefined, timer: undefined, isWatched: false }
    this.#watched.set(name, watched)
    this.#ask(name, watched)
    return watched
  }

  #ask(name: Name, watched: Watched): void {
    watched.timer = undefined
    this.#peer.watch(name).then(
      (presence) => {
        // Nobody wants to know any more.
        if (this.#watched.get(name) !== watched) return this.#peer.unwatch(name)
        watched.isWatched = true
        if (presence !== undefined) this.#heard(watched, presence.state)
      },
      () => {
        // The node did not answer. Without the presence, the session works, and says less.
        if (this.#watched.get(name) !== watched || this.#peer.state.state === 'closed') return
        watched.timer = this.#clock.after(AGAIN_MS, () => this.#ask(name, watched))
      },
    )
  }

  #heard(watched: Watched, state: PresenceState): void {
    if (watched.state === state) return
    watched.state = state
    for (const listener of watched.listeners) listener()
  }
}
