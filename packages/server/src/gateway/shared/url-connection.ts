import type { AnonymousSession, OnlineSession, Wire } from '@peerage/core'
import type { ConnectionHost } from './connection.js'
import { WebSocketConnection } from './connection.js'
import type { Drops } from './drops.js'
import { costOf, holdsTooMuch } from './frame-cost.js'
import type { Arrival } from './gateway.js'
import { LONG_BYTES, OVER_PAUSE_MS } from './limits.js'

/** What connections that enter by their URL need of their gateway. */
export interface UrlHost extends ConnectionHost {
  readonly wire: Wire
  readonly frameBytes: number
  readonly drops: Drops
}

/** How much may come before the peer is let in. An announce of a tracker with ten offers is about 30 KB. */
const MAX_EARLY_FRAMES = 64
const MAX_EARLY_BYTES = 256 * 1024
/** A connection that sends more malformed frames than this is closed with `protocol`. */
const MAX_MALFORMED = 100

/**
 * The connection of a peer that presents everything in its URL, so that it sends frames before it is let in. These frames
 * wait. Each frame is counted before it is read. A subclass says what frames mean (`receive`, `send`).
 */
export abstract class UrlConnection<
  Host extends UrlHost,
  S extends AnonymousSession | OnlineSession,
> extends WebSocketConnection<Host> {
  /** Undefined until the peer has been let in. */
  session: S | undefined
  #malformed = 0
  /** Frames that came before the answer. `dropped`: the answer is no, and no frame counts any more. */
  #early: { frames: string[]; bytes: number } | 'dropped' | undefined

  constructor({ id, socket, stream, address }: Arrival, host: Host) {
    super(id, socket, stream, address, host)
  }

  get wire(): Wire {
    return this.host.wire
  }

  /** Handles a whole frame of a peer that has been let in. The frame is within the rates. */
  protected abstract receive(session: S, text: string): void

  /** A frame from this peer, or for it, was dropped because of its rates or because it reads too slowly. */
  protected missed(): void {}

  protected take(text: string): void {
    // Frames that waited during a pause come after the end, too.
    if (!this.isOpen) return
    const { session } = this
    if (session === undefined) this.#keep(text)
    else if (this.#mayReceive(text)) this.receive(session, text)
  }

  /** The peer has been let in. Handles the frames that came before. */
  entered(session: S): void {
    this.session = session
    this.followRates()
    const early = this.#early
    this.#early = undefined
    if (typeof early === 'object') for (const text of early.frames) this.take(text)
  }

  /** The peer is not let in, and will be closed. Its frames mean nothing any more. */
  turnedAway(): void {
    this.#early = 'dropped'
  }

  /** Drops a malformed frame, and closes the connection if there were too many. `text`: what is wrong with it. */
  malformed(text: string): void {
    this.host.drops.dropped('malformed', { text })
    this.app?.count(false)
    this.#malformed++
    if (this.#malformed > MAX_MALFORMED) this.close('protocol')
  }

  /** Writes a frame of another peer. */
  protected deliver(frame: string): boolean {
    const isTaken = this.relay(frame)
    if (!isTaken && this.isOpen) this.missed()
    return isTaken
  }

  override failed(error: Error): void {
    super.failed(error)
    const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name
    const { drops, frameBytes } = this.host
    drops.dropped('fault', { code, text: error.message, frameBytes })
  }

  override ended(code: number): void {
    super.ended(code)
    this.#early = undefined
  }

  #keep(text: string): void {
    if (this.#early === 'dropped') return
    this.#early ??= { frames: [], bytes: 0 }
    this.#early.bytes += Buffer.byteLength(text)
    if (this.#early.frames.length < MAX_EARLY_FRAMES && this.#early.bytes <= MAX_EARLY_BYTES) {
      this.#early.frames.push(text)
      return
    }
    this.turnedAway()
    this.host.drops.dropped('too-many', { text: 'frames before the peer was let in' })
    this.close('rate-limited')
  }

  #mayReceive(text: string): boolean {
    const now = this.host.clock.monotonic()
    const length = Buffer.byteLength(text)
    const cost = costOf(text, length)
    const { messages, bytes, signals } = this.rates
    // Almost all that these wires carry is handshakes.
    const isOver = messages.take(1, now) > 0 || bytes.take(cost, now) > 0 || signals.take(length, now) > 0
    if (!isOver) {
      if (!holdsTooMuch(cost, length)) return true
      this.malformed('the frame holds more keys, strings or numbers than any message has')
      return false
    }
    if (cost > LONG_BYTES) this.pause(OVER_PAUSE_MS)
    this.host.drops.dropped('rate-limited')
    this.app?.count(false)
    this.strike(now)
    this.missed()
    return false
  }
}
