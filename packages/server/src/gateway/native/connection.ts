import type { Semaphore, Lease, RoomChange, ServerMessage } from '@peerage/core'
import type { CloseReason, Peer, ProtocolError } from '@peerage/protocol'
import {
  encodeNodeMessage,
  errorTexts,
  limits as wireLimits,
  nameOf,
  parsePeer,
  protocolError,
  stampOf,
} from '@peerage/protocol'
import { TokenBucket } from '../../lib/token-bucket.js'
import type { ConnectionHost } from '../shared/connection.js'
import { WebSocketConnection } from '../shared/connection.js'
import type { Arrival } from '../shared/gateway.js'

// engine.io's protocol 4 without polling, upgrades and buffers: one text frame a packet; its first character is the type.
const CLOSE = '1'
const PING = '2'
const PONG = '3'
/** A peer comes to the default namespace of socket.io; to any other one, a slash follows. */
const CONNECT = '40'
/** A peer leaves the only namespace there is. */
const DISCONNECT = '41'
/** An event of the default namespace; everything that peers and nodes say is one. */
const EVENT = '42'
const CONNECT_ERROR = '44'

/** Of so many senders a connection remembers what they sent, the latest ones: acknowledgements follow within moments. */
const SENDERS_MOST = 1_024

/** Messages of one sender that are not acknowledged. */
interface Handed {
  count: number
}

/** As many as an SDK sends before it waits: what is free is not saved up, to be spent all at once. */
const HANDED_MOST = 1_024

/** A join is answered with a page of members. All rooms of a connection twice at once, then once a second. */
const JOINS_PER_SECOND = wireLimits.rooms
/**
 * A node writes to so many members for what one message between two peers costs: measured, either takes 0.3 of a core
 * at its full rate (some 25 microseconds a member, 280 a message).
 */
const MEMBERS_PER_MESSAGE = 10
/**
 * Requests over a rate that are answered at once; twice as many at once, and twice as many a second, for one is answered
 * before each pause and one after it. To read, refuse and answer one costs about as much as a look-up, so who goes on
 * asking is read no faster than this.
 */
const REFUSED_REQUESTS_PER_SECOND = 50

/** What one connection may send that only this wire has. */
export interface NativeRates {
  lookups: TokenBucket
  /** Bytes that the node carries for it. */
  relayed: TokenBucket
  /** What it says in rooms, once for each member that hears it. */
  said: TokenBucket
  joins: TokenBucket
  refusedRequests: TokenBucket
  /** From the first report on. */
  reports?: TokenBucket
}

function nativeRates({ limits, relay }: NativeHost, now: number): NativeRates {
  const { messagesPerSecond, lookupsPerSecond } = limits.values.connection
  return {
    lookups: new TokenBucket(lookupsPerSecond, now),
    relayed: new TokenBucket(relay?.bytesPerSecond ?? 0, now),
    said: new TokenBucket(MEMBERS_PER_MESSAGE * messagesPerSecond, now, { whole: true }),
    joins: new TokenBucket(lookupsPerSecond === 0 ? 0 : JOINS_PER_SECOND, now),
    refusedRequests: new TokenBucket(REFUSED_REQUESTS_PER_SECOND, now),
  }
}

/** What native connections need of their gateway. */
export interface NativeHost extends ConnectionHost {
  /** What this node carries; null: nothing. */
  readonly relay: { bytesPerSecond: number; messageBytes: number } | null
  readonly frames: {
    /** An event frame, with its `42`. */
    receive(connection: NativeConnection, frame: string): void
  }
  readonly entry: {
    /** A CONNECT packet, with its `40` and its hello. */
    connect(connection: NativeConnection, frame: string): void
    /** What this wire has no place for. */
    malformed(connection: NativeConnection, error: ProtocolError): void
  }
}

/** One native peer's connection. */
export class NativeConnection extends WebSocketConnection<NativeHost> {
  malformed = 0
  /** Hellos that were refused. */
  refused = 0
  /** A hello is on its way to its answer. */
  isClaiming = false
  /** What its hello and socket.io are told of its request; until it has a name. */
  request: { headers: { origin?: string; host?: string }; connection: { encrypted: boolean } } | undefined
  /** What socket.io holds of it; from its name on. */
  socketIo: { ended(): void } | undefined
  /** What it asks the registry for, in turn; from its first request on. */
  requests: Semaphore | undefined
  #rates: NativeRates | undefined
  /** What it was handed of each sender; from the first message on. */
  #handed: Map<Peer, Handed> | undefined
  /** From the first message that it sends on. */
  #stamp: { lease: Lease; text: string } | undefined

  constructor({ id, socket, stream, request, address }: Arrival, host: NativeHost) {
    super(id, socket, stream, address, host)
    this.answersPings = true
    const { origin, host: at } = request.headers
    const headers = { ...(origin === undefined ? {} : { origin }), ...(at === undefined ? {} : { host: at }) }
    const encrypted = 'encrypted' in request.socket && request.socket.encrypted === true
    this.request = { headers, connection: { encrypted } }
  }

  get wire(): 'native' {
    return 'native'
  }

  /** Its other rates; from its first message on. */
  get nativeRates(): NativeRates {
    this.#rates ??= nativeRates(this.host, this.host.clock.monotonic())
    return this.#rates
  }

  /** Why the node does not carry a message of this peer, to another one or to a room. */
  overRelay(body: string, now: number): 'relay-refused' | 'rate-limited' | undefined {
    const { relay } = this.host
    const bytes = Buffer.byteLength(body)
    if (relay === null || bytes > relay.messageBytes) return 'relay-refused'
    return this.nativeRates.relayed.take(bytes, now) > 0 ? 'rate-limited' : undefined
  }

  override named(peer: Peer): void {
    super.named(peer)
    this.#rates = undefined
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

  /** engine.io asks with packets, and never with a WebSocket ping. */
  override sendPing(): boolean {
    return this.tryWrite(PING)
  }

  send(message: ServerMessage): boolean {
    switch (message.type) {
      case 'relay': {
        const { from, kind, frame } = message.message
        if (!this.relay(frame)) return false
        if (kind !== 'ack') this.#hand(from)
        return true
      }
      case 'notice': {
        const colon = message.ref.indexOf(':')
        const [stream, seq] = [message.ref.slice(0, colon), Number(message.ref.slice(colon + 1))]
        return this.write(
          encodeNodeMessage({ type: 'notice', to: message.to, stream, seq, code: message.code }),
        )
      }
      case 'presence': {
        const { name, state, since } = message
        return this.relay(
          encodeNodeMessage(
            since === undefined
              ? { type: 'presence', name, state }
              : { type: 'presence', name, state, since },
          ),
        )
      }
      case 'said':
        // At most once: who is behind misses it, and is not cut for what others say.
        return this.relay(message.frame)
      case 'changed':
        return this.relay(encodedOnce(message))
    }
  }

  /** What each message of its stay begins with. */
  stamp(lease: Lease): string {
    if (this.#stamp?.lease !== lease) this.#stamp = { lease, text: stampOf(nameOf(lease.peer), lease.since) }
    return this.#stamp.text
  }

  /**
   * Whether an acknowledgement answers something. `unknown`: that peer has sent nothing to this connection.
   * `again`: all that it sent is acknowledged already.
   */
  acknowledge(to: Peer): 'due' | 'again' | 'unknown' {
    const handed = this.#handed?.get(to)
    if (handed === undefined) return 'unknown'
    if (handed.count === 0) return 'again'
    handed.count--
    return 'due'
  }

  #hand(from: Peer): void {
    this.#handed ??= new Map()
    const handed = this.#handed.get(from)
    if (handed !== undefined) {
      if (handed.count < HANDED_MOST) handed.count++
      return
    }
    if (this.#handed.size >= SENDERS_MOST)
      for (const oldest of this.#handed.keys()) {
        this.#handed.delete(oldest)
        break
      }
    // A name from another node is a piece of what came with it, and would keep all of it until it is copied.
    const own = parsePeer(Buffer.from(from).toString())
    this.#handed.set(own.ok ? own.value : from, { count: 1 })
  }

  /** Answers a CONNECT packet by a CONNECT_ERROR. `namespace`: of socket.io, as `/other,`; the default one has none. */
  refuse(error: ProtocolError, namespace = ''): void {
    this.write(`${CONNECT_ERROR}${namespace}${JSON.stringify({ message: error.code, data: error })}`)
  }

  fail(error: ProtocolError, id?: number): void {
    this.write(encodeNodeMessage({ type: 'error', ...error, ...(id === undefined ? {} : { id }) }))
  }

  protected override sayClosing(reason: CloseReason, retryAfterMs?: number): number | undefined {
    const retry = retryAfterMs === undefined ? {} : { retryAfterMs }
    this.tryWrite(encodeNodeMessage({ type: 'closing', reason, ...retry }))
    return super.sayClosing(reason)
  }

  override ended(code: number): void {
    super.ended(code)
    this.socketIo?.ended()
  }
}

const encoded = new WeakMap<RoomChange, string>()

/** All members of a room are told by one object: it is encoded for the first of them. */
function encodedOnce(change: RoomChange): string {
  const known = encoded.get(change)
  if (known !== undefined) return known
  const frame = encodeNodeMessage(change)
  encoded.set(change, frame)
  return frame
}
