import type { AnonymousSession, OnError, OnlineSession, Wire } from '@peerage/core'
import type { CloseReason } from '@peerage/protocol'
import type { CloseOptions, ConnectionHost } from './connection.js'
import { WebSocketConnection } from './connection.js'
import type { Drops } from './drops.js'
import { costOf, holdsTooMuch } from './frame-cost.js'
import type { Arrival } from './gateway.js'
import { OVER_PAUSE_MS } from './limits.js'

/** What connections that enter by their URL need of their gateway. */
export interface UrlHost extends ConnectionHost {
  readonly wire: Wire
  readonly frameBytes: number
  readonly drops: Drops
  readonly onError: OnError
  /** Closes the connection late, and takes no frame of it until then [UW4]. */
  turnAway(connection: Turnable, reason: CloseReason, options?: CloseOptions): void
}

/** A connection that can be closed late. */
export interface Turnable {
  close(reason: CloseReason, options?: CloseOptions): void
  turnedAway(): void
}

/**
 * How much may wait until the peer is let in, or until an earlier frame has been handled. A page of y-webrtc with many
 * documents announces itself in all of them at once. An announce of a tracker with ten offers is about 30 KB.
 */
const MAX_WAITING_FRAMES = 1_024
const MAX_WAITING_BYTES = 256 * 1024
/** A peer that would have to wait longer than this with one frame floods. The frame is dropped. */
const MAX_SLOW_MS = 10_000
/** A connection that sends more malformed frames than this is turned away with `protocol`. */
const MAX_MALFORMED = 100
/** The code of a close because of a frame that is too long (RFC 6455 §7.4.1). */
const TOO_LONG = 1009

/**
 * The connection of a peer that presents everything in its URL, so that it sends frames before it is let in. These frames
 * wait. Each frame is counted before it is read. A peer over its rates is slowed: its frames wait until it has paid. When
 * many wait, its socket is not read, so its further frames stay with it, and none is lost. A subclass says what frames mean
 * (`receive`, `send`).
 */
export abstract class UrlConnection<
  Host extends UrlHost,
  S extends AnonymousSession | OnlineSession,
> extends WebSocketConnection<Host> {
  /** Undefined until the peer has been let in. */
  session: S | undefined
  #malformed = 0
  /** Whether a frame is being handled, so that the next one waits. */
  #isBusy = false
  /** Frames that wait, in order. `dropped`: the peer has been turned away, and its frames mean nothing any more. */
  #waiting: { frames: string[]; bytes: number } | 'dropped' | undefined
  /** Ends the wait of a slowed peer. */
  #endWait: (() => void) | undefined

  constructor({ id, socket, stream, address }: Arrival, host: Host) {
    super(id, socket, stream, address, host)
  }

  get wire(): Wire {
    return this.host.wire
  }

  /** These peers have nothing that could be kept for them. */
  get leavesAtEnd(): boolean {
    return true
  }

  /**
   * Handles a whole frame of a peer that has been let in. The frame is within the rates. If it returns a promise, the next
   * frames wait until that has resolved. It rejects only for bugs.
   */
  protected abstract receive(session: S, text: string): Promise<void> | void

  /** A frame from this peer was dropped because it floods, or a frame for it because it reads too slowly. */
  protected missed(_reason: 'rate-limited' | 'slow-consumer'): void {}

  protected take(text: string): void {
    // Frames that waited during a pause come after the end, too.
    if (!this.isOpen) return
    // It will be closed. What it sends until then waits in the network.
    if (this.#waiting === 'dropped') return this.pause(OVER_PAUSE_MS)
    const { session } = this
    if (session === undefined || this.#isBusy) this.#keep(text)
    else this.#handle(session, text)
  }

  #handle(session: S, text: string): void {
    const length = Buffer.byteLength(text)
    const cost = costOf(text, length)
    const read = (): Promise<void> | void => {
      if (!holdsTooMuch(cost, length)) return this.receive(session, text)
      this.tooComplex('the frame holds more keys, strings or numbers than any message has')
    }
    const paid = this.pays((now) => this.rates.takeSignal(cost, length, now))
    const handled = paid === true ? read() : paid.then((isPaid) => (isPaid ? read() : undefined))
    if (handled === undefined) return
    this.#isBusy = true
    handled
      .then(() => {
        this.#isBusy = false
        this.#takeWaiting(session)
      })
      .catch((error: unknown) => {
        this.host.onError(error, { stage: 'frame' })
        this.host.turnAway(this, 'internal')
      })
  }

  /** Handles the frames that wait, until one of them must wait for something. */
  #takeWaiting(session: S): void {
    const waiting = this.#waiting
    if (waiting === 'dropped') return
    while (!this.#isBusy && this.isOpen && this.#waiting === waiting) {
      const text = waiting?.frames.shift()
      if (waiting === undefined || text === undefined) break
      waiting.bytes -= Buffer.byteLength(text)
      this.#handle(session, text)
    }
    if (this.#waiting === waiting && (waiting?.frames.length === 0 || !this.isOpen)) this.#waiting = undefined
    if (this.#waiting === undefined && !this.#isBusy) this.readOn()
  }

  /**
   * Waits until the peer may spend what `take` takes. `take` returns 0, or the milliseconds until it can be asked again.
   * Meanwhile further frames of the peer wait. False: its frame must be dropped, because the peer has gone or has been
   * turned away, or because it floods: it would wait for more than 10 s. A flood has been counted, and `missed` called.
   */
  pays(take: (now: number) => number): true | Promise<boolean> {
    const ms = take(this.host.clock.monotonic())
    return ms === 0 || this.#slowed(ms, take)
  }

  async #slowed(firstMs: number, take: (now: number) => number): Promise<boolean> {
    let ms = firstMs
    let leftMs = MAX_SLOW_MS
    // Each wait is longer than the one before, because thousands may wait for the rate of one app.
    for (let tries = 1; ; tries++) {
      const waitMs = Math.max(ms, tries * OVER_PAUSE_MS)
      const isFlood = waitMs > leftMs
      if (isFlood) this.#flooded()
      await this.#wait(isFlood ? OVER_PAUSE_MS : waitMs)
      if (isFlood || !this.isOpen || this.#waiting === 'dropped') return false
      leftMs -= waitMs
      ms = take(this.host.clock.monotonic())
      if (ms === 0) return true
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.host.clock.after(ms, resolve)
      this.#endWait = () => {
        timer.cancel()
        resolve()
      }
    })
  }

  #flooded(): void {
    this.dropped('rate-limited')
    this.app?.count(false)
    this.missed('rate-limited')
  }

  /** The peer has been let in. Handles the frames that came before. */
  entered(session: S): void {
    this.session = session
    this.followRates()
    this.#takeWaiting(session)
  }

  /** The peer will be closed. Its frames mean nothing any more. */
  turnedAway(): void {
    this.#waiting = 'dropped'
  }

  /** Drops a malformed frame, and turns the peer away if there were too many. `text`: what is wrong with it. */
  malformed(text: string): void {
    this.dropped('malformed', { text })
    this.app?.count(false)
    this.#malformed++
    if (this.#malformed > MAX_MALFORMED) this.host.turnAway(this, 'protocol')
  }

  /** A frame is not parsed, because that would be slow. `text`: what is wrong with it. */
  protected tooComplex(text: string): void {
    this.malformed(text)
  }

  /** Writes a frame of another peer. */
  protected deliver(frame: string): boolean {
    const isTaken = this.relay(frame)
    if (!isTaken && this.isOpen) this.missed('slow-consumer')
    return isTaken
  }

  override strike(now: number): void {
    if (this.rates.strike(now)) return
    this.host.turnAway(this, 'rate-limited')
    // Pings count too, and go on.
    this.pause(OVER_PAUSE_MS)
  }

  override faulted(code: number): void {
    const isLong = code === TOO_LONG
    this.host.turnAway(this, 'protocol', {
      code,
      text: isLong ? `a frame may have ${this.host.frameBytes} bytes` : 'malformed WebSocket frame',
    })
  }

  override failed(error: Error): void {
    super.failed(error)
    const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name
    this.dropped('fault', { code, text: error.message, frameBytes: this.host.frameBytes })
  }

  /** The pongs of a peer that is not read are not read either. The next ping shows whether it is there. */
  override timedOut(): void {
    if (this.isReading) super.timedOut()
  }

  override close(reason: CloseReason, options?: CloseOptions): void {
    super.close(reason, options)
    // The close frame of the peer is behind what it sent before.
    this.readOn()
  }

  override ended(code: number): void {
    super.ended(code)
    this.#waiting = undefined
    this.#endWait?.()
  }

  /** Counts something that is dropped, and logs it. `what` is from a closed set. */
  protected dropped(what: string, details: Record<string, unknown> = {}): void {
    const { app } = this
    this.host.drops.dropped(what, app === undefined ? details : { app: app.app, ...details })
  }

  #keep(text: string): void {
    if (this.#waiting === 'dropped') return
    this.#waiting ??= { frames: [], bytes: 0 }
    this.#waiting.bytes += Buffer.byteLength(text)
    const { frames, bytes } = this.#waiting
    if (frames.length < MAX_WAITING_FRAMES && bytes <= MAX_WAITING_BYTES) {
      frames.push(text)
      const isHalf = frames.length >= MAX_WAITING_FRAMES / 2 || bytes >= MAX_WAITING_BYTES / 2
      // What the node has read from the socket already still comes.
      if (isHalf && this.session !== undefined) this.stopReading()
      return
    }
    this.dropped('too-many', { text: 'frames that wait' })
    this.host.turnAway(this, 'rate-limited')
  }
}
