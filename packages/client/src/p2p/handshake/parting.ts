import type { Clock, Timer } from '../../lib/clock.js'

/** The other side has said goodbye as well: what of ours was lost on the way is sent again within this. */
const HEARD_MS = 500
/** The other side says nothing: it takes what is under way, or it is gone. */
const UNHEARD_MS = 2_000

/**
 * The last moments of a connection whose channel has ended. A stack's own close is not heard by every other one:
 * Chromium misses 1 in 8 of node-datachannel's, and werift's was heard after 24 s. So both sides say goodbye, and the
 * connection stays until that is through.
 */
export class Parting {
  /** Resolves when the other side knows, or cannot be told over this connection. */
  readonly heard: Promise<void>
  readonly #clock: Clock
  readonly #connection: RTCPeerConnection
  #resolve: () => void = () => undefined
  #timer: Timer | undefined

  /** `isHeard`: the other side has said goodbye. `tell`: it is to hear of the end on another way. */
  constructor(clock: Clock, connection: RTCPeerConnection, isHeard: boolean, tell: () => void) {
    this.#clock = clock
    this.#connection = connection
    this.heard = new Promise((resolve) => (this.#resolve = resolve))
    if (isHeard) this.hear()
    else this.#wait(tell)
  }

  #wait(tell: () => void): void {
    const isConnected = (): boolean => this.#connection.connectionState === 'connected'
    // What cannot get through now may get there late.
    if (!isConnected()) tell()
    this.#timer = this.#clock.after(UNHEARD_MS, () => {
      if (isConnected()) tell()
      this.close()
    })
  }

  /** The other side has said goodbye. */
  hear(): void {
    this.#resolve()
    this.#timer?.cancel()
    this.#timer = this.#clock.after(HEARD_MS, () => this.close())
  }

  /** No more time for a goodbye to get through. */
  close(): void {
    this.#timer?.cancel()
    this.#connection.close()
    this.#resolve()
  }
}
