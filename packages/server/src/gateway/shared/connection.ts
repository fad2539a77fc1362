import { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock } from '@peerage/core'
import type { RawData } from 'ws'
import { WebSocket, WebSocketServer } from 'ws'
import type { Backlog } from './backlog.js'
import { LATE_MOST } from './limits.js'
import { FrameWriter } from './frame-writer.js'
import type { Beating } from './heartbeat.js'
import type { Pinged } from './marks.js'
import { Marks } from './marks.js'
import type { HeldMost } from './reading.js'
import { Reading } from './reading.js'

// A WebSocket-only engine for socket.io, given to it by `io.bind(engine)`: engine.io's protocol 4 without polling,
// upgrades and buffers. It keeps an idle peer small, and limits, pings and back-pressure in our hands.
// Protocol: one text frame a packet; its first character is the type.

const OPEN = '0'
const CLOSE = '1'
const PING = '2'
const PONG = '3'
const MESSAGE = '4'

/** A peer comes to the default namespace; to any other one, a slash follows. */
const CONNECT = '40'
/** All that socket.io is told of it: the hello is for the gateway. */
const CONNECT_WITHOUT_HELLO = '0'
/** A peer leaves the only namespace there is. */
const DISCONNECT = '41'
/** An event of the default namespace; everything that peers and nodes say is one. */
const EVENT = '42'

const TRANSPORT = Object.freeze({ name: 'websocket', writable: true })

export interface EngineOptions {
  clock: Clock
  pingIntervalMs: number
  pingTimeoutMs: number
  frameBytes: number
  /** Over this many bytes that wait to be read, the peer is a slow consumer. */
  bufferedBytes: number
  /** What waits for all peers of the node. */
  backlog: Backlog
}

export interface EngineEvents {
  opened: (socket: EngineSocket) => void
  /** An event frame, with its `42`. */
  event: (socket: EngineSocket, frame: string) => void
  /** What this protocol has no place for. */
  malformed: (socket: EngineSocket, what: 'bad-frame' | 'binary') => void
  /** A CONNECT packet, with its `40` and its hello. */
  connect: (socket: EngineSocket, frame: string) => void
  /** A ping of the peer (RFC 6455 §5.5.2), or a pong that nobody asked for. False: over its rate, and not answered. */
  extra: (socket: EngineSocket) => boolean
  /** No traffic since the last ping. */
  silent: (socket: EngineSocket) => void
  /** It is far behind, and has read nothing for a ping interval. */
  stuck: (socket: EngineSocket) => void
  /** `code` as in RFC 6455 §7.4; 1006: no close frame. */
  ended: (socket: EngineSocket, code: number) => void
}

/** ws hands events over with the WebSocket as `this`: the way back to our socket is a field, not a closure. */
class OwnedWebSocket extends WebSocket {
  owner: EngineSocket | undefined
}

/** One connection, as socket.io's Client sees it. */
export class EngineSocket extends EventEmitter implements Beating, Pinged {
  readonly id: string
  readonly address: string
  /** engine.io's protocol revision; socket.io asks for it. */
  readonly protocol = 4
  // One object for all. As getters these two save 16 bytes a peer, and a message costs a tenth more: measured, not understood.
  readonly transport = TRANSPORT
  readyState: 'open' | 'closed' = 'open'
  heard = true
  /** Pings of the heartbeat without an answer. */
  #beats = 0
  #marks: Marks | undefined
  /** Packets that came after the close. */
  #late = 0
  /** From its first pause on. */
  #reading: Reading | undefined
  /** socket.io reads the handshake once, when a peer connects to its namespace; then it is let go. */
  request: { headers: Record<string, string>; connection: { encrypted: boolean } } | undefined
  readonly #engine: Engine
  readonly #ws: OwnedWebSocket
  /** What the WebSocket writes to. */
  readonly #duplex: Duplex

  constructor(
    engine: Engine,
    ws: OwnedWebSocket,
    duplex: Duplex,
    id: string,
    address: string,
    request: EngineSocket['request'],
  ) {
    super()
    this.#engine = engine
    this.#ws = ws
    this.#duplex = duplex
    this.id = id
    this.address = address
    this.request = request
  }

  /** Makes the peer one of socket.io's, which hears nothing of it until it has a name: strangers cost it nothing. */
  join(): void {
    if (this.readyState === 'closed') return
    this.#engine.emit('connection', this)
    this.emit('data', CONNECT_WITHOUT_HELLO)
  }

  get remoteAddress(): string {
    return this.address
  }

  /** What socket.io writes: an encoded packet, without the engine's type. */
  write(packet: string | Uint8Array): void {
    if (typeof packet === 'string') this.send(MESSAGE + packet)
  }

  /** Writes one whole text frame. False: gone, or over the buffer bound. Never throws, never blocks. */
  send(frame: string): boolean {
    if (this.#ws.readyState !== WebSocket.OPEN) return false
    return this.#engine.writer.write(this.#duplex, frame)
  }

  /** What another peer sent or caused. False: gone, or so far behind that the sender shall wait. */
  relay(frame: string): boolean {
    if (this.#ws.readyState !== WebSocket.OPEN || this.#marks?.isBehind) return false
    const bytes = Buffer.byteLength(frame)
    if (!this.#engine.writer.relay(this.#duplex, frame, bytes)) return false
    this.#marks ??= new Marks(this.#engine.writer.relayedMost)
    this.#marks.relayed(bytes, this)
    return true
  }

  /** It can be written to: neither side has begun to close. */
  get isOpen(): boolean {
    return this.#ws.readyState === WebSocket.OPEN
  }

  get isBehind(): boolean {
    return this.#marks?.isBehind || this.#engine.writer.isBehind(this.#duplex)
  }

  sendPing(): boolean {
    return this.send(PING)
  }

  /** Reads nothing for so long; what has come already waits, in order. */
  pause(ms: number, most?: HeldMost): void {
    this.#reading ??= new Reading(this.#ws, this.#engine.options.clock, (frame) => {
      // Its pongs wait among what has come.
      this.heard = true
      this.#take(frame)
    })
    this.#reading.pause(ms, most)
  }

  ping(): void {
    const reads = this.#marks?.beat(this) ?? true
    if (!reads || this.#engine.writer.isStuck(this.#duplex)) this.#engine.events.stuck(this)
    // The answer to a mark is as good, and comes earlier.
    else if (!this.#marks?.isOut && this.sendPing()) this.#beats++
  }

  silent(): void {
    this.#engine.events.silent(this)
  }

  /** Ends the socket with a code; without one, as socket.io asks for it. */
  close(code = 1000, text = ''): void {
    if (this.#ws.readyState === WebSocket.CLOSED) return
    // What waits and the close frame leave in one write.
    this.#duplex.cork()
    this.#engine.writer.flush(this.#duplex)
    this.#ws.close(code, text)
    this.#duplex.uncork()
  }

  /** Ends the socket without waiting for the peer: it does not read, or is not there. */
  terminate(): void {
    this.#ws.terminate()
  }

  /** For `OwnedWebSocket`'s handlers only. */
  received(data: RawData, isBinary: boolean): void {
    if (this.#isLate()) return
    this.heard = true
    if (isBinary || !Buffer.isBuffer(data)) {
      this.#engine.events.malformed(this, 'binary')
      return
    }
    const frame = data.toString()
    if (this.#reading) this.#reading.received(frame)
    else this.#take(frame)
  }

  #take(frame: string): void {
    if (frame.startsWith(EVENT) && frame[2] === '[') this.#engine.events.event(this, frame)
    else if (frame === PONG) this.ponged()
    else if (frame.startsWith(CONNECT)) this.#engine.events.connect(this, frame)
    else if (frame === CLOSE || frame === DISCONNECT) this.close()
    else this.#engine.events.malformed(this, 'bad-frame')
  }

  pinged(data: Buffer): void {
    if (this.#isLate()) return
    this.heard = true
    if (!this.#engine.events.extra(this)) return
    // Bounded like all that waits for a peer that does not read.
    if (this.#duplex.writableLength <= this.#engine.options.bufferedBytes) this.#ws.pong(data)
  }

  /** An answer to our ping, or one that nobody asked for. */
  ponged(): void {
    if (this.#isLate()) return
    this.heard = true
    if (this.#beats > 0) {
      this.#beats--
      this.#marks?.reads()
    } else if (!this.#marks?.answered()) this.#engine.events.extra(this)
  }

  #isLate(): boolean {
    if (this.#ws.readyState === WebSocket.OPEN) return false
    this.#late++
    if (this.#late > LATE_MOST) this.terminate()
    return true
  }

  ended(code: number): void {
    if (this.readyState === 'closed') return
    this.#reading?.ended()
    this.readyState = 'closed'
    this.emit('close', code === 1006 ? 'transport error' : 'transport close')
    this.#engine.ended(this, code)
    this.removeAllListeners()
  }
}

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
  if (this instanceof OwnedWebSocket) this.owner?.received(data, isBinary)
}

function onPing(this: WebSocket, data: Buffer): void {
  if (this instanceof OwnedWebSocket) this.owner?.pinged(data)
}

// We ask over engine.io's own packets, and never with a WebSocket ping.
function onPong(this: WebSocket): void {
  if (this instanceof OwnedWebSocket) this.owner?.ponged()
}

function onClose(this: WebSocket, code: number): void {
  if (this instanceof OwnedWebSocket) this.owner?.ended(code)
}

// A close with the fitting code follows (1009 for a frame over the limit, 1007 for text that is not UTF-8).
function onError(): void {}

/** What `io.bind` takes: `connection` events and `close`. */
export class Engine extends EventEmitter {
  readonly options: EngineOptions
  readonly events: EngineEvents
  readonly writer: FrameWriter
  readonly #wss: WebSocketServer
  readonly #sockets = new Set<EngineSocket>()
  /** What the first packet says to every peer, after its id. */
  readonly #handshake: string
  #serial = 0

  constructor(options: EngineOptions, events: EngineEvents) {
    super()
    this.options = options
    this.events = events
    this.writer = new FrameWriter(options.bufferedBytes, options.clock, options.backlog)
    const { pingIntervalMs: pingInterval, pingTimeoutMs: pingTimeout, frameBytes: maxPayload } = options
    this.#handshake = JSON.stringify({ upgrades: [], pingInterval, pingTimeout, maxPayload }).slice(1)
    this.#wss = new WebSocketServer({
      noServer: true,
      WebSocket: OwnedWebSocket,
      maxPayload: options.frameBytes,
      perMessageDeflate: false,
      clientTracking: false,
      skipUTF8Validation: false,
      // Pings are answered below, within a rate.
      autoPong: false,
    })
  }

  /** Answers an upgrade whose path, version and origin have been checked. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer, address: string): void {
    // The answer to the upgrade and the first packet leave in one write.
    socket.cork()
    this.#wss.handleUpgrade(request, socket, head, (ws) => {
      if (ws instanceof OwnedWebSocket) this.#opened(ws, socket, request, address)
    })
    socket.uncork()
  }

  ended(socket: EngineSocket, code: number): void {
    this.#sockets.delete(socket)
    this.events.ended(socket, code)
  }

  get sockets(): ReadonlySet<EngineSocket> {
    return this.#sockets
  }

  close(): void {
    for (const socket of this.#sockets) socket.terminate()
    this.#wss.close()
  }

  #opened(ws: OwnedWebSocket, duplex: Duplex, request: IncomingMessage, address: string): void {
    this.#serial++
    const encrypted = 'encrypted' in request.socket && request.socket.encrypted === true
    const { origin, host } = request.headers
    const headers = { ...(origin === undefined ? {} : { origin }), ...(host === undefined ? {} : { host }) }
    const kept = { headers, connection: { encrypted } }
    const socket = new EngineSocket(this, ws, duplex, this.#serial.toString(36), address, kept)
    ws.owner = socket
    ws.on('message', onMessage)
    ws.on('ping', onPing)
    ws.on('pong', onPong)
    ws.on('close', onClose)
    ws.on('error', onError)
    this.#sockets.add(socket)
    socket.send(`${OPEN}{"sid":"${socket.id}",${this.#handshake}`)
    this.writer.flush(duplex)
    this.events.opened(socket)
  }
}
