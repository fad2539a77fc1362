import type { Clock } from '@peerage/core'
import type { WebSocket } from 'ws'

type Pausable = Pick<WebSocket, 'isPaused' | 'pause' | 'resume'>

/** How much may wait during a pause. */
export interface HeldMost {
  frames: number
  /** Called when the pause ends, if more came; none of it is taken. */
  over: () => void
}

/**
 * A WebSocket that is not read for a while, now and then. What had been read already, a few buffers at most, is taken
 * afterwards, in order: else a flood of small frames would be through before a pause begins.
 */
export class Reading {
  readonly #ws: Pausable
  readonly #clock: Clock
  readonly #take: (frame: string) => void
  readonly #held: string[] = []
  #most: HeldMost | undefined
  #isOver = false

  /** `take` may pause anew. */
  constructor(ws: Pausable, clock: Clock, take: (frame: string) => void) {
    this.#ws = ws
    this.#clock = clock
    this.#take = take
  }

  /** One pause at a time: another one within it changes nothing. */
  pause(ms: number, most?: HeldMost): void {
    if (this.#ws.isPaused) return
    this.#most = most
    this.#ws.pause()
    this.#clock.after(ms, () => this.#resume())
  }

  received(frame: string): void {
    if (!this.#ws.isPaused) this.#take(frame)
    else if (this.#most && this.#held.length >= this.#most.frames) this.#isOver = true
    else this.#held.push(frame)
  }

  /** The connection has ended: all that came before is taken now, for its peer may have left. */
  ended(): void {
    for (const frame of this.#held.splice(0)) this.#take(frame)
  }

  #resume(): void {
    this.#ws.resume()
    if (this.#isOver) {
      this.#isOver = false
      this.#held.length = 0
      this.#most?.over()
    }
    while (!this.#ws.isPaused) {
      const frame = this.#held.shift()
      if (frame === undefined) return
      this.#take(frame)
    }
  }
}
