import type { Clock, Timer } from '../../lib/clock.js'

/** Below this round trip, one channel moves as much as four. */
export const RTT_MS_MIN = 5
/** For fewer bytes, more channels are not worth their handshakes. */
export const BYTES_LEFT_MIN = 16 * 1024 * 1024
/** The round trip of a new channel is that of its handshake, so it is read again while bytes move. */
const AGAIN_MS = 1_000

/** How many channels carry bytes, and from when on more than one. */
export interface ChannelRules {
  count: number
  rttMs: number
  bytesLeft: number
}

interface Channels {
  first: { info(): Promise<{ rttMs?: number | undefined }> }
}

/** What must be known of a session. */
export interface Measured {
  readonly channels: Channels | undefined
  readonly transfer: {
    readonly bytesLeft: { in: number; out: number }
    onChange(listener: () => void): () => void
  }
}

/** Opens further channels of a guest when they make it faster. */
export class MoreChannels {
  readonly #rules: ChannelRules
  readonly #session: Measured
  readonly #clock: Clock
  readonly #open: () => void
  readonly #stop: () => void
  /** The channels that need no more. */
  #decided: Channels | undefined
  #isAsking = false
  #timer: Timer | undefined

  /** `open` opens the further channels. */
  constructor(rules: ChannelRules, session: Measured, clock: Clock, open: () => void) {
    this.#rules = rules
    this.#session = session
    this.#clock = clock
    this.#open = open
    this.#stop = session.transfer.onChange(() => this.#check())
  }

  close(): void {
    this.#stop()
    this.#timer?.cancel()
    this.#decided = this.#session.channels
  }

  #check(): void {
    if (!this.#isAsking && this.#timer === undefined && this.#isLong()) void this.#ask()
  }

  /** Whether enough is still to be moved over one channel. */
  #isLong(): boolean {
    const { channels, transfer } = this.#session
    const { bytesLeft, count } = this.#rules
    if (count === 1 || channels === undefined || channels === this.#decided) return false
    return transfer.bytesLeft.in + transfer.bytesLeft.out > bytesLeft
  }

  async #ask(): Promise<void> {
    const { channels } = this.#session
    if (channels === undefined) return
    this.#isAsking = true
    // A channel that has closed has no round trip.
    const { rttMs = 0 } = await channels.first.info().catch(() => ({ rttMs: 0 }))
    this.#isAsking = false
    if (!this.#isLong() || channels !== this.#session.channels) return
    if (rttMs >= this.#rules.rttMs) {
      this.#decided = channels
      this.#open()
    } else
      this.#timer = this.#clock.after(AGAIN_MS, () => {
        this.#timer = undefined
        this.#check()
      })
  }
}
