import type { Duplex } from 'node:stream'
import type { Clock, Connection, ServerMessage, Wire } from '@peerage/core'
import type { CloseReason, ConnectionId, Peer } from '@peerage/protocol'
import { closeCodes, closeTextOf, limits as wireLimits } from '@peerage/protocol'
import { WebSocket } from 'ws'
import type { AppUse } from '../../apps/budgets.js'
import type { AppPolicy } from '../../apps/policy.js'
import type { Allowed } from './access.js'
import type { ClaimingConnection } from './claimer.js'
import type { GatewayMetrics } from './events.js'
import type { FrameWriter, Pinged } from './frame-writer.js'
import { Marks } from './frame-writer.js'
import type { PingTarget } from './heartbeat.js'
import type { Limits, Member } from './limits.js'
import { Rates } from './limits.js'
import type { OwnedWebSocket } from './owned-web-socket.js'
import type { HoldLimit } from './pausable-reader.js'
import { PausableReader } from './pausable-reader.js'

/** What connections need of their gateway. All of them share this one object, so that an idle peer holds no closures. */
export interface ConnectionHost {
  readonly clock: Clock
  readonly limits: Limits
  readonly writer: FrameWriter
  readonly metrics: Pick<GatewayMetrics, 'rejected'>
  /** When more bytes than this wait to be read, the peer is a slow consumer. */
  readonly bufferedBytes: number
  /** `code` is as in RFC 6455 §7.4. 1006 means that no close frame came. */
  ended(connection: WebSocketConnection, code: number): void
}

/** What a close tells a peer, in addition to its reason. */
export interface CloseOptions {
  /** When the peer may come back. */
  retryAfterMs?: number
  /** With `disconnected`: the close code that an application server chose. */
  code?: number
  /** With `disconnected`: its text. */
  text?: string
}

/** How many frames may still arrive after the node closed a connection. A peer that sends more is cut. */
const MAX_LATE_FRAMES = 2_000
/** The retry time for a peer that is closed because it exceeded its limits too often. */
const STRIKES_RETRY_MS = 5_000

/**
 * The connection of one peer over a WebSocket, on any wire. It reads, writes and pings, and knows how the connection
 * ends. A subclass for each wire reads frames (`take`) and writes the messages of the core as frames (`send`).
 */
export abstract class WebSocketConnection<Host extends ConnectionHost = ConnectionHost>
  implements Connection, ClaimingConnection, PingTarget, Pinged
{
  abstract readonly wire: Wire
  readonly id: ConnectionId
  /** The address that limits count this peer by. */
  readonly address: string
  heard = true
  /** Whether the peer has sent anything. If it has, its side is open too, so it can end with a close frame. */
  spoke = false
  /** Whether the peer broke the WebSocket protocol. Its close then counts as its own doing. */
  isFaulty = false
  /** The peer's app and name, once the name is claimed. */
  peer: Peer | undefined
  /** The app that the connection counts for. Set from the claim until the end. */
  app: AppUse | undefined
  /** What the access rules decided about the peer. A renewed token replaces it. */
  access: Allowed | undefined
  /** When the node ends the connection because its access ends (Unix ms). */
  endsAt: number | undefined
  protected readonly host: Host
  /** Whether the peer has answered a ping. Only the native wire promises pongs, so we wait for none before the first. */
  protected answersPings = false
  /** False between `stopReading` and `readOn`. */
  protected isReading = true
  readonly #socket: OwnedWebSocket
  /** The socket below the WebSocket. Whole frames are written to it directly. */
  readonly #stream: Duplex
  #reason: CloseReason | undefined
  #rates: Rates | undefined
  /** The policy that the rates follow. */
  #ratedBy: AppPolicy | undefined
  /** How many pings of the heartbeat are unanswered. */
  #heartbeatPings = 0
  #marks: Marks | undefined
  /** How many frames came after the close. */
  #late = 0
  /** Set from the first pause on. */
  #reader: PausableReader | undefined

  constructor(id: ConnectionId, socket: OwnedWebSocket, stream: Duplex, address: string, host: Host) {
    this.id = id
    this.address = address
    this.host = host
    this.#socket = socket
    this.#stream = stream
    socket.owner = this
  }

  /** Writes a message of the core to the peer as a frame of its wire. Messages that the wire cannot express are left out. */
  abstract send(message: ServerMessage): boolean

  /** Handles one whole text frame of the peer. */
  protected abstract take(text: string): void

  /** Returns true when binary frames are refused. Otherwise a binary frame is read as text, as PeerJS does. */
  protected refusesBinary(): boolean {
    return false
  }

  /** Tells the peer why, in a frame of the wire if it has one. Returns the code of the close frame, if it has a code. */
  protected announceClose(reason: CloseReason, { code }: CloseOptions): number | undefined {
    return code ?? closeCodes[reason]
  }

  /** Why the node ended the connection. Undefined while it is open, or if the peer or the network ended it. */
  get reason(): CloseReason | undefined {
    return this.#reason
  }

  get isOpen(): boolean {
    return this.#reason === undefined && this.#socket.readyState === WebSocket.OPEN
  }

  get isBehind(): boolean {
    return this.#marks?.isBehind || this.host.writer.isBehind(this.#stream)
  }

  /**
   * How much the peer may send. It is made with a frame, and dropped while the peer is idle, because it takes 500 bytes. It
   * follows the policy of the app over reloads.
   */
  get rates(): Rates {
    if (this.#rates === undefined) {
      this.#rates = new Rates(this.host.limits, this.host.clock.monotonic(), this.member)
      this.#ratedBy = this.app?.policy
    } else if (this.#ratedBy !== this.app?.policy) this.followRates()
    return this.#rates
  }

  /** The policy of the app has changed, or what the access rules granted. */
  followRates(): void {
    const { member } = this
    this.#ratedBy = this.app?.policy
    if (member !== undefined) this.#rates?.follow(this.host.limits, this.host.clock.monotonic(), member)
  }

  /** Undefined until the peer has been let in. */
  get member(): Member | undefined {
    const { peer, app, access } = this
    return peer === undefined || app === undefined ? undefined : { peer, app, grants: access }
  }

  /** The peer has a name now. From here on, what it sends also counts for the name and for its app. */
  named(peer: Peer): void {
    this.peer = peer
    this.#rates = undefined
  }

  /** Writes a whole text frame. False: the peer is gone, or it is too slow and the connection ends. */
  write(frame: string): boolean {
    if (this.tryWrite(frame)) return true
    if (this.isOpen) this.abandon('slow-consumer')
    return false
  }

  /** Writes a whole text frame. False: the peer is gone, or there is no room for the frame. */
  protected tryWrite(frame: string): boolean {
    return this.isOpen && this.host.writer.write(this.#stream, frame)
  }

  /**
   * Writes a frame that another peer sent or caused. False: the peer is gone, or so far behind that the sender must wait.
   * Frames of other peers get less room than frames of the node, so that senders are refused before this peer is cut.
   */
  protected relay(frame: string): boolean {
    if (!this.isOpen || (this.answersPings && this.#marks?.isBehind)) return false
    const bytes = Buffer.byteLength(frame)
    // While the node leaves the peer's pongs unread, they cannot show how far it has read.
    if (!this.isReading) return this.host.writer.relay(this.#stream, frame, bytes)
    const marks = (this.#marks ??= new Marks(this.host.writer.maxRelayed))
    // The frame and the ping behind it leave in one write.
    const isMarked = marks.isDueAfter(bytes)
    if (isMarked) this.#stream.cork()
    const isTaken = this.host.writer.relay(this.#stream, frame, bytes)
    if (isTaken) marks.relayed(bytes, this)
    if (isMarked) this.#stream.uncork()
    return isTaken
  }

  /** Writes a frame of another peer that the node kept. The node has accepted it already, so it cannot be refused now. */
  protected writeKept(frame: string): void {
    if (this.write(frame)) this.#mark(Buffer.byteLength(frame))
  }

  /** Writes a frame and a ping right behind it. A peer that answers the ping has read both. */
  writeAndPing(frame: string): void {
    this.#stream.cork()
    if (this.write(frame) && this.sendPing()) this.#heartbeatPings++
    this.#stream.uncork()
  }

  sendPing(): boolean {
    if (!this.isOpen) return false
    // Frames that wait must leave before the ping.
    this.host.writer.flush(this.#stream)
    this.#socket.ping()
    return true
  }

  #mark(bytes: number): void {
    this.#marks ??= new Marks(this.host.writer.maxRelayed)
    this.#marks.relayed(bytes, this)
  }

  ping(): void {
    if (!this.isOpen) return
    if (this.#rates?.isUnused(this.host.clock.monotonic())) this.#rates = undefined
    const reads = (this.#marks?.beat(this) ?? true) || !this.answersPings
    if (!reads || this.host.writer.isStuck(this.#stream)) this.abandon('slow-consumer')
    // If a mark is unanswered, its answer serves as well and comes earlier.
    else if (!this.#marks?.isOut && this.sendPing()) this.#heartbeatPings++
  }

  timedOut(): void {
    this.abandon('ping-timeout')
  }

  // Only `OwnedWebSocket` calls the following methods, for what comes in.

  received(data: unknown, isBinary: boolean): void {
    if (this.#isLate()) return
    this.heard = this.spoke = true
    if (!Buffer.isBuffer(data) || (isBinary && this.refusesBinary())) return
    const text = data.toString()
    if (this.#reader) this.#reader.received(text)
    else this.take(text)
  }

  pinged(data: unknown): void {
    if (this.#isLate()) return
    this.heard = this.spoke = true
    if (!this.countExtra()) return
    // A pong is bounded like everything else that waits for a peer that does not read.
    if (this.#stream.writableLength <= this.host.bufferedBytes) this.#socket.pong(data)
  }

  /** A pong came. It answers a ping of the node, or it is unsolicited. */
  ponged(): void {
    if (this.#isLate()) return
    this.heard = this.spoke = true
    if (this.#heartbeatPings > 0) {
      this.#heartbeatPings--
      this.#marks?.reads()
    } else if (!this.#marks?.answered()) return void this.countExtra()
    this.answersPings = true
  }

  /** Counts a ping of the peer or an unsolicited pong as a message. False: the peer is over its rate. */
  countExtra(): boolean {
    const now = this.host.clock.monotonic()
    if (this.rates.messages.take(1, now) === 0) return true
    this.host.metrics.rejected(this.wire, 'rate-limited')
    this.strike(now)
    return false
  }

  /** Counts a refusal over a rate, and closes the connection when there are too many. `now` is on the monotonic clock. */
  strike(now: number): void {
    if (!this.rates.strike(now)) this.close('rate-limited', { retryAfterMs: STRIKES_RETRY_MS })
  }

  /** Reads nothing for `ms`. Frames that have come already wait, in order. */
  pause(ms: number, limit?: HoldLimit): void {
    this.#reader ??= new PausableReader(this.#socket, this.host.clock, (text) => {
      // The peer's pongs are held up among the frames that wait, so each of these counts as a sign of life.
      this.heard = true
      this.take(text)
    })
    this.#reader.pause(ms, limit)
  }

  /** Reads nothing until `readOn`. Frames that the node has read from the socket already still come. */
  protected stopReading(): void {
    if (!this.isReading) return
    this.isReading = false
    this.#socket.pause()
    this.#marks?.forgive()
  }

  /** Ends `stopReading`. */
  protected readOn(): void {
    if (this.isReading) return
    this.isReading = true
    this.#socket.resume()
  }

  #isLate(): boolean {
    if (this.isOpen) return false
    this.#late++
    if (this.#late > MAX_LATE_FRAMES) this.#socket.terminate()
    return true
  }

  /** Tells the peer why and closes the socket. If the peer has sent a close frame already, this does nothing. */
  close(reason: CloseReason, options: CloseOptions = {}): void {
    if (!this.isOpen) return
    const text = closeText(options.text ?? closeTextOf(reason))
    // Waiting frames and the close frame leave in one write.
    this.#stream.cork()
    const code = this.announceClose(reason, options)
    this.#reason = reason
    this.host.writer.flush(this.#stream)
    this.#socket.close(code, text)
    this.#stream.uncork()
  }

  /** Closes the socket because the peer asked for it. */
  hangUp(): void {
    if (!this.isOpen) return
    this.host.writer.flush(this.#stream)
    // RFC 6455 §7.4.1: 1000 means that the purpose of the connection has been fulfilled.
    this.#socket.close(1000, '')
  }

  /** Cuts a peer that does not read or is gone, because no close frame would reach it. */
  abandon(reason: CloseReason): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#reason ??= reason
    this.#socket.terminate()
  }

  /** The peer broke the WebSocket protocol or the frame limit. `code`: how to close (RFC 6455 §7.4.1). `failed` follows. */
  faulted(code: number): void {
    this.#socket.close(code, '')
  }

  /** The socket has failed, or the peer broke the WebSocket protocol. */
  failed(_error: Error): void {
    this.isFaulty = true
  }

  ended(code: number): void {
    this.#reader?.ended()
    this.host.ended(this, code)
  }
}

/** The text of a close frame, cut to the 123 bytes that RFC 6455 §5.5 leaves for it. */
function closeText(text: string): string {
  const most = wireLimits.closeTextLength
  if (Buffer.byteLength(text) <= most) return text
  // The decoder leaves out a character that was cut in two.
  return new TextDecoder().decode(Buffer.from(text).subarray(0, most), { stream: true })
}
