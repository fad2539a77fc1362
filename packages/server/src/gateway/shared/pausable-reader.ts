import type { Clock } from '@peerage/core'
import type { WebSocket } from 'ws'

type Pausable = Pick<WebSocket, 'isPaused' | 'pause' | 'resume'>

/** How many frames may wait during a pause. */
export interface HoldLimit {
  frames: number
  /** Called when the pause ends, if more frames than that came. All frames of the pause are then dropped. */
  over: () => void
}

/**
 * Pauses the reading of a WebSocket. Frames that had been read from the socket before the pause, a few buffers at most,
 * are handled after it, in order. Otherwise a flood of small frames would get through before the pause begins.
 */
export class PausableReader {
  readonly #ws: Pausable
  readonly #clock: Clock
  readonly #take: (frame: string) => void
  readonly #held: string[] = []
  #limit: HoldLimit | undefined
  #isOver = false

  /** `take` may start another pause. */
  constructor(ws: Pausable, clock: Clock, take: (frame: string) => void) {
    this.#ws = ws
    this.#clock = clock
    this.#take = take
  }

  /** Starts a pause of `ms`. Does nothing during a pause. */
  pause(ms: number, limit?: HoldLimit): void {
    if (this.#ws.isPaused) return
    this.#limit = limit
    this.#ws.pause()
    this.#clock.after(ms, () => this.#resume())
  }

  received(frame: string): void {
    if (!this.#ws.isPaused) this.#take(frame)
    else if (this.#limit && this.#held.length >= this.#limit.frames) this.#isOver = true
    else this.#held.push(frame)
  }

  /** The connection has ended. Handles all waiting frames now, because one of them may say that the peer leaves. */
  ended(): void {
    for (const frame of this.#held.splice(0)) this.#take(frame)
  }

  #resume(): void {
    this.#ws.resume()
    if (this.#isOver) {
      this.#isOver = false
      this.#held.length = 0
      this.#limit?.over()
    }
    while (!this.#ws.isPaused) {
      const frame = this.#held.shift()
      if (frame === undefined) return
      this.#take(frame)
    }
  }
}
