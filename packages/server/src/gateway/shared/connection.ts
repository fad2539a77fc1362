import type { Duplex } from 'node:stream'
import type { Clock, Connection, ServerMessage, Wire } from '@peerage/core'
import type { CloseReason, ConnectionId, Peer } from '@peerage/protocol'
import { closeCodes, closeTextOf } from '@peerage/protocol'
import { WebSocket } from 'ws'
import type { GatewayMetrics } from './events.js'
import type { FrameWriter, Pinged } from './frame-writer.js'
import { Marks } from './frame-writer.js'
import type { Beating } from './heartbeat.js'
import type { Limits } from './limits.js'
import { Rates } from './limits.js'
import type { HeldMost } from './reading.js'
import { Reading } from './reading.js'

/** What connections need of their gateway: one object for all of them, so that an idle peer holds no closures. */
export interface ConnectionHost {
  readonly clock: Clock
  readonly limits: Limits
  readonly writer: FrameWriter
  readonly metrics: Pick<GatewayMetrics, 'rejected'>
  /** Over so many bytes that wait to be read, the peer is a slow consumer. */
  readonly bufferedBytes: number
  /** `code` as in RFC 6455 §7.4; 1006: no close frame came. */
  ended(connection: WebSocketConnection, code: number): void
}

/** ws tells all by `emit`: taken here, it needs no table of listeners, which was a tenth of an idle PeerJS peer. */
export class OwnedWebSocket extends WebSocket {
  owner: WebSocketConnection | undefined

  // No event has more than two arguments, and a list of them would be made for each.
  override emit(event: string | symbol, first?: unknown, second?: unknown): boolean {
    const { owner } = this
    if (owner === undefined) return super.emit(event, first, second)
    switch (event) {
      case 'message':
        owner.received(first, second === true)
        return true
      case 'ping':
        owner.pinged(first)
        return true
      case 'pong':
        owner.ponged()
        return true
      case 'close':
        owner.ended(Number(first))
        return true
      case 'error':
        owner.failed(first instanceof Error ? first : new Error(String(first)))
        return true
      default:
        return super.emit(event, first, second)
    }
  }
}

/** So many frames may be on their way when a connection is closed; who sends more does not mean to end, and is cut. */
const LATE_MOST = 2_000
/** Told to whoever is closed for so much that was over its limits. */
const STRIKES_RETRY_MS = 5_000

/**
 * One peer's connection over a WebSocket, whatever it speaks: what is read, written and pinged, and how it ends. A wire
 * says what a frame means (`take`) and how it says what core tells a peer (`send`).
 */
export abstract class WebSocketConnection<Host extends ConnectionHost = ConnectionHost>
  implements Connection, Beating, Pinged
{
  abstract readonly wire: Wire
  readonly id: ConnectionId
  /** What limits count it by. */
  readonly address: string
  heard = true
  /** Something came from it, so its own side is open as well: from here on it goes with a close frame, or is cut. */
  spoke = false
  /** It broke the WebSocket protocol: its close is its own doing. */
  isFaulty = false
  /** Who it is, once its name is claimed. */
  peer: Peer | undefined
  protected readonly host: Host
  /** Pongs are waited for only where they come: no wire but our own promises them. */
  protected answersPings = false
  readonly #socket: OwnedWebSocket
  /** What the WebSocket runs on: whole frames are written to it directly. */
  readonly #stream: Duplex
  #reason: CloseReason | undefined
  #rates: Rates | undefined
  /** Pings of the heartbeat without an answer. */
  #beats = 0
  #marks: Marks | undefined
  /** Frames that came after the close. */
  #late = 0
  /** From its first pause on. */
  #reading: Reading | undefined

  constructor(id: ConnectionId, socket: OwnedWebSocket, stream: Duplex, address: string, host: Host) {
    this.id = id
    this.address = address
    this.host = host
    this.#socket = socket
    this.#stream = stream
    socket.owner = this
  }

  /** What core tells the peer, in the words of its wire; what the wire has no word for is left out. */
  abstract send(message: ServerMessage): boolean

  /** One whole text frame of the peer. */
  protected abstract take(text: string): void

  /** A binary frame is read as text, as PeerJS does. True: it was refused, and is not read. */
  protected refusesBinary(): boolean {
    return false
  }

  /** Says it in the wire's own words as well, if it has any. Returns the close frame's code; undefined: it has none. */
  protected sayClosing(reason: CloseReason, _retryAfterMs?: number): number | undefined {
    return closeCodes[reason]
  }

  /** Why the node ended it; undefined while it lives, and where the peer or the network ended it. */
  get reason(): CloseReason | undefined {
    return this.#reason
  }

  get isOpen(): boolean {
    return this.#reason === undefined && this.#socket.readyState === WebSocket.OPEN
  }

  get isBehind(): boolean {
    return this.#marks?.isBehind || this.host.writer.isBehind(this.#stream)
  }

  /** What it may send; from its first frame on. */
  get rates(): Rates {
    this.#rates ??= new Rates(this.host.limits, this.host.clock.monotonic(), this.peer)
    return this.#rates
  }

  /** It has a name now: what it sends from here on counts for the name as well. */
  named(peer: Peer): void {
    this.peer = peer
    this.#rates = undefined
  }

  /** A whole text frame. False: gone, or too slow, and then the connection ends. */
  write(frame: string): boolean {
    if (this.tryWrite(frame)) return true
    if (this.isOpen) this.abandon('slow-consumer')
    return false
  }

  /** False: gone, or no room for it. */
  protected tryWrite(frame: string): boolean {
    return this.isOpen && this.host.writer.write(this.#stream, frame)
  }

  /**
   * What another peer sent or caused. False: gone, or so far behind that the sender shall wait. Of what others send a peer
   * has less room than of what the node says: they are refused before it is cut.
   */
  protected relay(frame: string): boolean {
    if (!this.isOpen || (this.answersPings && this.#marks?.isBehind)) return false
    const bytes = Buffer.byteLength(frame)
    if (!this.host.writer.relay(this.#stream, frame, bytes)) return false
    this.#mark(bytes)
    return true
  }

  /** What others sent and the node has kept for it: it has been taken, so it is not refused any more. */
  protected writeKept(frame: string): void {
    if (this.write(frame)) this.#mark(Buffer.byteLength(frame))
  }

  /** A frame, and a ping right behind it: who answers has read both. */
  writeAndPing(frame: string): void {
    this.#stream.cork()
    if (this.write(frame) && this.sendPing()) this.#beats++
    this.#stream.uncork()
  }

  sendPing(): boolean {
    if (!this.isOpen) return false
    // What came before it goes before it.
    this.host.writer.flush(this.#stream)
    this.#socket.ping()
    return true
  }

  #mark(bytes: number): void {
    this.#marks ??= new Marks(this.host.writer.relayedMost)
    this.#marks.relayed(bytes, this)
  }

  ping(): void {
    if (!this.isOpen) return
    const reads = (this.#marks?.beat(this) ?? true) || !this.answersPings
    if (!reads || this.host.writer.isStuck(this.#stream)) this.abandon('slow-consumer')
    // The answer to a mark is as good, and comes earlier.
    else if (!this.#marks?.isOut && this.sendPing()) this.#beats++
  }

  silent(): void {
    this.abandon('ping-timeout')
  }

  // What comes in, from `OwnedWebSocket` only.

  received(data: unknown, isBinary: boolean): void {
    if (this.#isLate()) return
    this.heard = this.spoke = true
    if (!Buffer.isBuffer(data) || (isBinary && this.refusesBinary())) return
    const text = data.toString()
    if (this.#reading) this.#reading.received(text)
    else this.take(text)
  }

  pinged(data: unknown): void {
    if (this.#isLate()) return
    this.heard = this.spoke = true
    if (!this.countExtra()) return
    // Bounded like all that waits for a peer that does not read.
    if (this.#stream.writableLength <= this.host.bufferedBytes) this.#socket.pong(data)
  }

  /** An answer to a ping of ours, or one that nobody asked for. */
  ponged(): void {
    if (this.#isLate()) return
    this.heard = this.spoke = true
    if (this.#beats > 0) {
      this.#beats--
      this.#marks?.reads()
    } else if (!this.#marks?.answered()) return void this.countExtra()
    this.answersPings = true
  }

  /** Counts what is no message: a ping of the peer, or a pong that nobody asked for. False: over its rate. */
  countExtra(): boolean {
    const now = this.host.clock.monotonic()
    if (this.rates.messages.take(1, now) === 0) return true
    this.host.metrics.rejected(this.wire, 'rate-limited')
    this.strike(now)
    return false
  }

  /** Over a rate once more; `now` on the monotonic clock. So many are a flood, not a burst. */
  strike(now: number): void {
    if (!this.rates.strike(now)) this.close('rate-limited', STRIKES_RETRY_MS)
  }

  /** Reads nothing for so long; what has come already waits, in order. */
  pause(ms: number, most?: HeldMost): void {
    this.#reading ??= new Reading(this.#socket, this.host.clock, (text) => {
      // Its pongs wait among what has come.
      this.heard = true
      this.take(text)
    })
    this.#reading.pause(ms, most)
  }

  #isLate(): boolean {
    if (this.isOpen) return false
    this.#late++
    if (this.#late > LATE_MOST) this.#socket.terminate()
    return true
  }

  /** Tells the peer why, and ends the socket. After a close frame of the peer's own the end is not our doing. */
  close(reason: CloseReason, retryAfterMs?: number): void {
    if (!this.isOpen) return
    // What waits and the close frame leave in one write.
    this.#stream.cork()
    const code = this.sayClosing(reason, retryAfterMs)
    this.#reason = reason
    this.host.writer.flush(this.#stream)
    this.#socket.close(code, closeTextOf(reason))
    this.#stream.uncork()
  }

  /** The peer has asked for the end. */
  hangUp(): void {
    if (!this.isOpen) return
    this.host.writer.flush(this.#stream)
    // RFC 6455 §7.4.1: its purpose has been fulfilled.
    this.#socket.close(1000)
  }

  /** For a peer that does not read, or is not there: no close frame would reach it. */
  abandon(reason: CloseReason): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#reason ??= reason
    this.#socket.terminate()
  }

  /** The peer broke the WebSocket protocol or the frame limit; ws closes it with the fitting code, and ends. */
  failed(_error: Error): void {
    this.isFaulty = true
  }

  ended(code: number): void {
    this.#reading?.ended()
    this.host.ended(this, code)
  }
}
