import type { Clock, Connection, ServerMessage } from '@peerage/core'
import type { CloseReason, ConnectionId, Peer } from '@peerage/protocol'
import { closeCodes, closeTextOf, errorTexts, nameOf } from '@peerage/protocol'
import type { Duplex } from 'node:stream'
import { WebSocket } from 'ws'
import type { TokenBucket } from '../shared/limits.js'
import { LATE_MOST, strikeBucket } from '../shared/limits.js'
import type { FrameWriter } from '../shared/frame-writer.js'
import type { Beating } from '../shared/heartbeat.js'
import { encodeExpire } from './wire.js'
import type { Pinged } from '../shared/marks.js'
import { Marks } from '../shared/marks.js'
import { Reading } from '../shared/reading.js'

/** What a connection tells its gateway: one object for all of them, so that an idle peer holds no closures. */
export interface PeerJsEvents {
  /** A whole frame, text or binary: PeerJS reads JSON in both. */
  frame(connection: PeerJsConnection, text: string): void
  /** The peer broke the WebSocket protocol or the frame limit; ws closes it with the fitting code. */
  fault(connection: PeerJsConnection, error: Error): void
  /** A WebSocket ping of the peer, or a pong that nobody asked for. False: over its rate, and not answered. */
  extra(connection: PeerJsConnection): boolean
  /** More waits to be read than is allowed. */
  slow(connection: PeerJsConnection): void
  silent(connection: PeerJsConnection): void
  /** `code` as in RFC 6455 §7.4; 1006: no close frame came. */
  ended(connection: PeerJsConnection, code: number): void
  /** Milliseconds that never jump. */
  now(): number
  readonly writer: FrameWriter
  readonly bufferedBytes: number
}

/**
 * ws tells everything by `emit`: taken here, it needs no listeners, and an idle peer no table of them. For an idle
 * PeerJS peer they were a tenth of its memory.
 */
export class OwnedWebSocket extends WebSocket {
  owner: PeerJsConnection | undefined

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    const { owner } = this
    if (owner === undefined) return super.emit(event, ...args)
    const [first] = args
    switch (event) {
      case 'message':
        owner.received(first)
        return true
      case 'ping':
        owner.pinged(first)
        return true
      case 'pong':
        owner.ponged()
        return true
      case 'close':
        owner.ended(typeof first === 'number' ? first : NO_CLOSE_FRAME)
        return true
      case 'error':
        owner.failed(first instanceof Error ? first : new Error(String(first)))
        return true
      default:
        return super.emit(event, ...args)
    }
  }
}

/** RFC 6455 §7.1.5: the connection ended without a close frame. */
const NO_CLOSE_FRAME = 1006

/** What waits while the name is being claimed: frames of the peer, and frames for it. */
interface Opening {
  inbound: string[]
  inboundLength: number
  outbound: string[]
  outboundLength: number
}

/** Our word for a message whose sender is told by EXPIRE; of LEAVE and EXPIRE nobody is told [P8]. */
export const WANTS_EXPIRE = 'x'

/** The client of PeerJS sends before it has read OPEN; an offer with its candidates is some 30 frames. */
const INBOUND_FRAMES_MOST = 64
const INBOUND_LENGTH_MOST = 256 * 1024
/** Live messages that arrive while the mailbox is being emptied. */
const OUTBOUND_FRAMES_MOST = 1_024
/** As often as `peer` looks for queues that are over: so many EXPIREs for one pair are one [P9]. */
const EXPIRE_ONCE_MS = 1_000
const EXPIRED_MOST = 256
const EXPIRED_KEY_MOST = 1_024

/** One PeerJS peer's connection, as core sees it. */
export class PeerJsConnection implements Connection, Beating, Pinged {
  readonly id: ConnectionId
  /** What limits count it by. */
  readonly address: string
  heard = true
  /** Who it is, once the name is claimed. */
  peer: Peer | undefined
  /** It counts against the concurrent limit. */
  counted = false
  /** For what this peer sends; made with its first message, for most peers are idle. */
  messages: TokenBucket | undefined
  bytes: TokenBucket | undefined
  signals: TokenBucket | undefined
  /** It broke the WebSocket protocol: its close is its own doing. */
  faulty = false
  /** Something came from it, so its own side is open as well: from here on it goes with a close frame, or is cut. */
  spoke = false
  readonly #socket: OwnedWebSocket
  /** What the WebSocket runs on: whole frames are written to it directly. */
  readonly #stream: Duplex
  readonly #events: PeerJsEvents
  #opening: Opening | undefined = { inbound: [], inboundLength: 0, outbound: [], outboundLength: 0 }
  #reason: CloseReason | undefined
  #expired: Map<string, number> | undefined
  #strikes: TokenBucket | undefined
  /** Pings of the heartbeat without an answer. */
  #beats = 0
  #marks: Marks | undefined
  /** Until it has answered a ping, nobody waits for its pongs: the server of `peer` sends no pings. */
  #hasAnswered = false
  /** Frames that came after the close. */
  #late = 0
  /** From its first pause on. */
  #reading: Reading | undefined

  constructor(
    id: ConnectionId,
    socket: OwnedWebSocket,
    stream: Duplex,
    address: string,
    events: PeerJsEvents,
  ) {
    this.id = id
    this.address = address
    this.#socket = socket
    this.#stream = stream
    this.#events = events
    socket.owner = this
  }

  /** Nobody asks: PeerJS has no word for changes. */
  get isBehind(): boolean {
    return false
  }

  get wire(): 'peerjs' {
    return 'peerjs'
  }

  /** Why the node ended it; undefined while it lives, and where the peer or the network ended it. */
  get reason(): CloseReason | undefined {
    return this.#reason
  }

  /** Reads nothing for so long; what has come already waits, in order. */
  pause(ms: number, clock: Clock): void {
    this.#reading ??= new Reading(this.#socket, clock, (frame) => {
      // Its pongs wait behind what has come.
      this.heard = true
      this.#events.frame(this, frame)
    })
    this.#reading.pause(ms)
  }

  get isOpen(): boolean {
    return this.#reason === undefined && this.#socket.readyState === WebSocket.OPEN
  }

  send(message: ServerMessage): boolean {
    switch (message.type) {
      case 'relay':
        return this.#relay(message.message.frame)
      case 'notice':
        if (message.ref !== WANTS_EXPIRE) return true
        // Nobody has the name: the word is EXPIRE. For the rest PeerJS has no word, and the reason is beside it.
        this.expire(
          JSON.stringify(message.to),
          message.code === 'unavailable' ? undefined : errorTexts[message.code],
        )
        return true
      // PeerJS has no word for these, and nobody asks for them on its behalf.
      case 'presence':
      case 'said':
      case 'changed':
        return true
    }
  }

  /** Tells the peer that what it sent to `to`, JSON text, was not delivered; once for a burst [P9]. */
  expire(to: string, why?: string): void {
    if (this.peer === undefined) return
    const now = this.#events.now()
    // No name is longer: what begins alike is one burst, and the keys stay small.
    const key = to.length > EXPIRED_KEY_MOST ? shortened(to) : to
    this.#expired ??= new Map()
    if (now - (this.#expired.get(key) ?? Number.NEGATIVE_INFINITY) < EXPIRE_ONCE_MS) return
    if (this.#expired.size >= EXPIRED_MOST) this.#expired.clear()
    this.#expired.set(key, now)
    this.#deliver(encodeExpire(to, nameOf(this.peer), why))
  }

  /** OPEN, and a ping right behind it: who answers has read both, and knows that the name is its own. */
  greet(frame: string): void {
    this.#stream.cork()
    if (this.write(frame) && this.sendPing()) this.#beats++
    this.#stream.uncork()
  }

  /** A whole text frame. False: gone, or too slow, and then the connection ends. */
  write(frame: string): boolean {
    if (!this.isOpen) return false
    if (this.#events.writer.write(this.#stream, frame)) return true
    this.#events.slow(this)
    return false
  }

  /** Keeps a frame of the peer until its name is claimed. False: over the bound. */
  keep(text: string): boolean {
    const opening = this.#opening
    if (opening === undefined) return false
    opening.inboundLength += Buffer.byteLength(text)
    if (opening.inbound.length >= INBOUND_FRAMES_MOST || opening.inboundLength > INBOUND_LENGTH_MOST)
      return false
    opening.inbound.push(text)
    return true
  }

  /** The frames that came before the name was claimed, in order. */
  takeKept(): string[] {
    const kept = this.#opening?.inbound ?? []
    if (this.#opening) this.#opening.inbound = []
    return kept
  }

  /** The peer is through: first what waited for it in its mailbox, then what arrived meanwhile [P7]. */
  opened(waiting: readonly string[]): void {
    const live = this.#opening?.outbound ?? []
    this.#opening = undefined
    for (const frame of waiting) this.#writeOfOthers(frame)
    for (const frame of live) this.#writeOfOthers(frame)
  }

  close(reason: CloseReason): void {
    // After a close frame of the peer's own the end is not our doing, whatever happens before the socket has ended [P10].
    if (this.#reason !== undefined || this.#socket.readyState !== WebSocket.OPEN) return
    this.#reason = reason
    this.#events.writer.flush(this.#stream)
    // Closes that `peer` knows carry no code [P3]; the others say why.
    if (reason === 'refused') this.#socket.close()
    else this.#socket.close(closeCodes[reason], closeTextOf(reason))
  }

  /** For a peer that does not read, or is not there: no close frame would reach it. */
  abandon(reason: CloseReason): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#reason ??= reason
    this.#socket.terminate()
  }

  ping(): void {
    // What was told an interval ago may be told again; an idle peer keeps nothing.
    this.#expired = undefined
    if (this.#socket.readyState !== WebSocket.OPEN) return
    const reads = (this.#marks?.beat(this) ?? true) || !this.#hasAnswered
    if (!reads || this.#events.writer.isStuck(this.#stream)) this.#events.slow(this)
    // The answer to a mark is as good, and comes earlier.
    else if (!this.#marks?.isOut && this.sendPing()) this.#beats++
  }

  sendPing(): boolean {
    if (this.#socket.readyState !== WebSocket.OPEN) return false
    // What came before it goes before it.
    this.#events.writer.flush(this.#stream)
    this.#socket.ping()
    return true
  }

  silent(): void {
    this.#events.silent(this)
  }

  /** For `OwnedWebSocket` only. */
  pinged(data: unknown): void {
    if (this.#isLate()) return
    this.#hear()
    if (!this.#events.extra(this)) return
    // Bounded like all that waits for a peer that does not read.
    if (this.#stream.writableLength <= this.#events.bufferedBytes) this.#socket.pong(data)
  }

  /** For `OwnedWebSocket` only. */
  ponged(): void {
    if (this.#isLate()) return
    this.#hear()
    if (this.#beats > 0) {
      this.#beats--
      this.#marks?.reads()
    } else if (!this.#marks?.answered()) return void this.#events.extra(this)
    this.#hasAnswered = true
  }

  /** Over a rate once more: so many are a flood, not a burst. */
  strike(): void {
    const now = this.#events.now()
    this.#strikes ??= strikeBucket(now)
    if (this.#strikes.take(1, now) > 0) this.close('rate-limited')
  }

  /** For `OwnedWebSocket` only. */
  received(data: unknown): void {
    if (this.#isLate()) return
    this.#hear()
    if (!Buffer.isBuffer(data)) return
    if (this.#reading) this.#reading.received(data.toString())
    else this.#events.frame(this, data.toString())
  }

  #hear(): void {
    this.heard = true
    this.spoke = true
  }

  #isLate(): boolean {
    if (this.isOpen) return false
    this.#late++
    if (this.#late > LATE_MOST) this.#socket.terminate()
    return true
  }

  failed(error: Error): void {
    this.faulty = true
    this.#events.fault(this, error)
  }

  ended(code: number): void {
    this.#reading?.ended()
    this.#opening = undefined
    this.#events.ended(this, code)
  }

  // Of what others send a peer has less room than of what the node says: they are refused before it is cut.
  #relay(frame: string): boolean {
    if (this.#opening !== undefined) return this.#deliver(frame)
    if (!this.isOpen || (this.#hasAnswered && this.#marks?.isBehind)) return false
    const bytes = Buffer.byteLength(frame)
    if (!this.#events.writer.relay(this.#stream, frame, bytes)) return false
    this.#mark(bytes)
    return true
  }

  #writeOfOthers(frame: string): void {
    if (this.write(frame)) this.#mark(Buffer.byteLength(frame))
  }

  #mark(bytes: number): void {
    this.#marks ??= new Marks(this.#events.writer.relayedMost)
    this.#marks.relayed(bytes, this)
  }

  #deliver(frame: string): boolean {
    const opening = this.#opening
    if (opening === undefined) return this.write(frame)
    const length = opening.outboundLength + Buffer.byteLength(frame)
    if (opening.outbound.length >= OUTBOUND_FRAMES_MOST || length > this.#events.bufferedBytes / 2)
      return false
    opening.outboundLength = length
    opening.outbound.push(frame)
    return true
  }
}

/** A copy, or it would hold the whole frame that it was cut from. */
function shortened(text: string): string {
  return Buffer.from(text.slice(0, EXPIRED_KEY_MOST)).toString()
}
