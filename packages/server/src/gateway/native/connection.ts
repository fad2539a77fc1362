import type { IncomingHttpHeaders } from 'node:http'
import type { Semaphore, Lease, RoomChange, ServerMessage } from '@peerage/core'
import type { CloseReason, Peer, ProtocolError } from '@peerage/protocol'
import { encodeNodeMessage, errorTexts, nameOf, parsePeer, protocolError, stampOf } from '@peerage/protocol'
import type { Allowed } from '../shared/access.js'
import type { CloseOptions, ConnectionHost } from '../shared/connection.js'
import { WebSocketConnection } from '../shared/connection.js'
import type { Arrival } from '../shared/gateway.js'
import { noticeOf, presenceOf } from './core-messages.js'
import { NativeRates } from './rates.js'

// Protocol 4 of engine.io, without polling, upgrades and buffers. Each text frame is one packet, and its first character
// is the type.
const CLOSE = '1'
const PING = '2'
const PONG = '3'
/** A peer connects to the default namespace of socket.io. For another namespace, a slash follows. */
const CONNECT = '40'
/** A peer leaves the default namespace, which is the only one. */
const DISCONNECT = '41'
/** An event of the default namespace. Every message of peers and nodes is an event. */
const EVENT = '42'
const CONNECT_ERROR = '44'

/** A connection counts unacknowledged messages for this many latest senders, because acknowledgements follow soon. */
const MAX_SENDERS = 1_024

/** The messages of one sender that are not acknowledged. */
interface Unacknowledged {
  count: number
}

/** An SDK sends this many before it waits. More free acknowledgements than that cannot be saved up. */
const MAX_UNACKNOWLEDGED = 1_024

/** What native connections need of their gateway. */
export interface NativeHost extends ConnectionHost {
  readonly frames: {
    /** Handles an event frame, with its `42`. */
    receive(connection: NativeConnection, frame: string): void
  }
  readonly entry: {
    /** Handles a CONNECT packet, with its `40` and its hello. */
    connect(connection: NativeConnection, frame: string): void
    /** Refuses a frame that is not part of the native wire. */
    malformed(connection: NativeConnection, error: ProtocolError): void
  }
}

/** The connection of one native peer. */
export class NativeConnection extends WebSocketConnection<NativeHost> {
  /** How many malformed frames came. */
  malformed = 0
  /** How many hellos were refused. */
  refused = 0
  /** Whether a hello waits for its answer. */
  isClaiming = false
  /** What the claim and socket.io need of the request. Dropped once the peer has a name. */
  request: { headers: IncomingHttpHeaders; connection: { encrypted: boolean } } | undefined
  /** The Origin header, for the access rules at a renewal. Kept only where there can be one. */
  origin: string | undefined
  /** The socket that socket.io holds. Set once the peer has a name. */
  socketIo: { ended(): void } | undefined
  /** Bounds the requests to the registry, in order. Made with the first request. */
  requests: Semaphore | undefined
  #rates: NativeRates | undefined
  /** The unacknowledged messages of each sender. Made with the first message. */
  #unacknowledged: Map<Peer, Unacknowledged> | undefined
  /** Made with the first message that the peer sends. */
  #stamp: { lease: Lease; text: string } | undefined

  constructor({ id, socket, stream, request, address }: Arrival, host: NativeHost) {
    super(id, socket, stream, address, host)
    this.answersPings = true
    const encrypted = 'encrypted' in request.socket && request.socket.encrypted === true
    this.request = { headers: request.headers, connection: { encrypted } }
  }

  get wire(): 'native' {
    return 'native'
  }

  /** The rates that only the native wire has. Made with the first message. They follow the policy over reloads. */
  get nativeRates(): NativeRates {
    const { limits, clock } = this.host
    this.#rates ??= new NativeRates(limits, clock.monotonic(), this.member)
    if (this.#rates.policy !== this.app?.policy) this.#rates.follow(limits, clock.monotonic(), this.member)
    return this.#rates
  }

  override followRates(): void {
    super.followRates()
    this.#rates?.follow(this.host.limits, this.host.clock.monotonic(), this.member)
  }

  /** Why the node does not carry a message of this peer to another peer or to a room. Undefined if it does. */
  overRelay(body: string, now: number): 'relay-refused' | 'rate-limited' | undefined {
    const relay = this.app?.policy.relay
    const bytes = Buffer.byteLength(body)
    if (!relay || bytes > relay.messageBytes) return 'relay-refused'
    return this.nativeRates.relayed.take(bytes, now) > 0 ? 'rate-limited' : undefined
  }

  override named(peer: Peer): void {
    super.named(peer)
    this.#rates = undefined
    if (isRenewable(this.access)) this.origin = this.request?.headers.origin
    this.request = undefined
  }

  protected take(frame: string): void {
    const { frames, entry } = this.host
    if (frame.startsWith(EVENT) && frame[2] === '[') {
      if (this.reason === undefined) frames.receive(this, frame)
    } else if (frame === PONG) this.ponged()
    else if (frame.startsWith(CONNECT)) entry.connect(this, frame)
    else if (frame === CLOSE || frame === DISCONNECT) this.hangUp()
    else entry.malformed(this, protocolError('bad-frame', errorTexts['bad-frame']))
  }

  protected override refusesBinary(): boolean {
    this.host.entry.malformed(this, protocolError('binary', errorTexts.binary))
    return true
  }

  /** engine.io pings with a packet of its own, never with a WebSocket ping. */
  override sendPing(): boolean {
    return this.tryWrite(PING)
  }

  send(message: ServerMessage): boolean {
    switch (message.type) {
      case 'relay': {
        const { from, kind, frame } = message.message
        if (!this.relay(frame)) return false
        if (kind !== 'ack') this.#countDelivered(from)
        return true
      }
      case 'notice':
        return this.write(encodeNodeMessage(noticeOf(message)))
      case 'presence':
        return this.relay(encodeNodeMessage(presenceOf(message)))
      case 'said':
        // Room messages arrive at most once. A peer that is behind misses the message, and is not cut for it.
        return this.relay(message.frame)
      case 'changed':
        return this.relay(encodedOnce(message))
      // They go to connections without names, and a native peer has one.
      case 'published':
      case 'handed':
        return true
    }
  }

  /** The beginning of every message of this session. */
  stamp(lease: Lease): string {
    if (this.#stamp?.lease !== lease) this.#stamp = { lease, text: stampOf(nameOf(lease.peer), lease.since) }
    return this.#stamp.text
  }

  /**
   * Whether an acknowledgement answers a message. `unknown`: the peer `to` has sent nothing to this connection. `again`:
   * all messages of that peer are acknowledged already.
   */
  acknowledge(to: Peer): 'due' | 'again' | 'unknown' {
    const unacknowledged = this.#unacknowledged?.get(to)
    if (unacknowledged === undefined) return 'unknown'
    if (unacknowledged.count === 0) return 'again'
    unacknowledged.count--
    return 'due'
  }

  #countDelivered(from: Peer): void {
    this.#unacknowledged ??= new Map()
    const unacknowledged = this.#unacknowledged.get(from)
    if (unacknowledged !== undefined) {
      if (unacknowledged.count < MAX_UNACKNOWLEDGED) unacknowledged.count++
      return
    }
    if (this.#unacknowledged.size >= MAX_SENDERS)
      for (const oldest of this.#unacknowledged.keys()) {
        this.#unacknowledged.delete(oldest)
        break
      }
    // Copy the name. A name from another node is a slice of a longer string, which V8 would keep in memory as a whole.
    const own = parsePeer(Buffer.from(from).toString())
    this.#unacknowledged.set(own.ok ? own.value : from, { count: 1 })
  }

  /** Answers a CONNECT packet with a CONNECT_ERROR. `namespace` is like `/other,`, and empty for the default namespace. */
  refuse(error: ProtocolError, namespace = ''): void {
    this.write(`${CONNECT_ERROR}${namespace}${JSON.stringify({ message: error.code, data: error })}`)
  }

  fail(error: ProtocolError, id?: number): void {
    this.write(encodeNodeMessage({ type: 'error', ...error, ...(id === undefined ? {} : { id }) }))
  }

  protected override announceClose(reason: CloseReason, options: CloseOptions): number | undefined {
    this.tryWrite(encodeNodeMessage({ type: 'closing', reason, ...options }))
    return super.announceClose(reason, options)
  }

  override ended(code: number): void {
    super.ended(code)
    this.socketIo?.ended()
  }
}

/** Whether a new access token can replace an access: it proves an identity, or it ends. */
export function isRenewable(access: Allowed | undefined): access is Allowed {
  return access?.identity !== undefined || access?.endsAt !== undefined
}

const encoded = new WeakMap<RoomChange, string>()

/** All members of a room get the same object, so it is encoded only for the first of them. */
function encodedOnce(change: RoomChange): string {
  const known = encoded.get(change)
  if (known !== undefined) return known
  const frame = encodeNodeMessage(change)
  encoded.set(change, frame)
  return frame
}
