import type { Connection, Lease, RoomChange, Semaphore, ServerMessage } from '@peerage/core'
import type { CloseReason, ConnectionId, Peer, ProtocolError } from '@peerage/protocol'
import { closeCodes, closeTextOf, encodeNodeMessage, nameOf, parsePeer, stampOf } from '@peerage/protocol'
import type { TokenBucket } from '../shared/limits.js'
import type { EngineSocket } from './engine.js'

const encoded = new WeakMap<RoomChange, string>()

/** All members of a room are told by one object: it is encoded for the first of them. */
function encodedOnce(change: RoomChange): string {
  const known = encoded.get(change)
  if (known !== undefined) return known
  const frame = encodeNodeMessage(change)
  encoded.set(change, frame)
  return frame
}

const STRIKES_RETRY_MS = 5_000

/** Of so many senders a connection remembers what they sent, the latest ones: acknowledgements follow within moments. */
const SENDERS_MOST = 1_024

/** Messages of one sender that are not acknowledged. */
interface Handed {
  count: number
}

/** As many as an SDK sends before it waits: what is free is not saved up, to be spent all at once. */
const HANDED_MOST = 1_024

export interface Rates {
  bytes: TokenBucket
  signals: TokenBucket
  lookups: TokenBucket
  relayed: TokenBucket
  /** What it says in rooms, once for each member that hears it. */
  said: TokenBucket
  joins: TokenBucket
  strikes: TokenBucket
  refusedRequests: TokenBucket
  /** From the first report on. */
  reports?: TokenBucket
}

/** Shared by all connections of a gateway. */
export interface NativeConnectionParts {
  /** How many packets it may send, of whatever kind. */
  messages: (connection: NativeConnection) => TokenBucket
  rates: () => Rates
  /** It does not read. */
  slow: (connection: NativeConnection) => void
}

/** One native peer's connection, as core sees it. */
export class NativeConnection implements Connection {
  readonly wire = 'native'
  readonly id: ConnectionId
  readonly socket: EngineSocket
  malformed = 0
  /** Hellos that were refused. */
  refused = 0
  /** A hello is on its way to its answer. */
  claiming = false
  /** What it asks the registry for, in turn; from its first request on. */
  requests: Semaphore | undefined
  readonly #parts: NativeConnectionParts
  #messages: TokenBucket | undefined
  #rates: Rates | undefined
  #closing: CloseReason | undefined
  /** What it was handed of each sender; from the first message on. */
  #handed: Map<Peer, Handed> | undefined
  /** From the first message that it sends on. */
  #stamp: { lease: Lease; text: string } | undefined

  constructor(id: ConnectionId, socket: EngineSocket, parts: NativeConnectionParts) {
    this.id = id
    this.socket = socket
    this.#parts = parts
  }

  /** Each packet takes one of these. */
  get messages(): TokenBucket {
    this.#messages ??= this.#parts.messages(this)
    return this.#messages
  }

  /** Its other rates, from its first message on: an idle peer has none. */
  get rates(): Rates {
    this.#rates ??= this.#parts.rates()
    return this.#rates
  }

  /** It has a name now: what it sends from here on counts for the name as well. */
  claimed(): void {
    this.#messages = undefined
    this.#rates = undefined
  }

  /** Why the node ended it; undefined while it lives, and where the peer or the network ended it. */
  get reason(): CloseReason | undefined {
    return this.#closing
  }

  get isBehind(): boolean {
    return this.socket.isBehind
  }

  get isOpen(): boolean {
    return this.socket.isOpen && this.#closing === undefined
  }

  send(message: ServerMessage): boolean {
    switch (message.type) {
      case 'relay': {
        const { from, kind, frame } = message.message
        if (!this.socket.relay(frame)) return false
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
        return this.socket.relay(
          encodeNodeMessage(
            since === undefined
              ? { type: 'presence', name, state }
              : { type: 'presence', name, state, since },
          ),
        )
      }
      case 'said':
        // At most once: who is behind misses it, and is not cut for what others say.
        return this.socket.relay(message.frame)
      case 'changed':
        return this.socket.relay(encodedOnce(message))
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

  /** A whole frame. False: gone, or too slow, and then the connection ends. */
  write(frame: string): boolean {
    if (this.socket.send(frame)) return true
    if (this.isOpen) this.#parts.slow(this)
    return false
  }

  /** Over a limit once more; `now` on the monotonic clock. */
  strike(now: number): void {
    if (this.rates.strikes.take(1, now) > 0) this.close('rate-limited', STRIKES_RETRY_MS)
  }

  /** Answers a CONNECT packet by a CONNECT_ERROR. `namespace`: of socket.io, as `/other,`; the default one has none. */
  refuse(error: ProtocolError, namespace = ''): void {
    this.write(`44${namespace}${JSON.stringify({ message: error.code, data: error })}`)
  }

  fail(error: ProtocolError, id?: number): void {
    this.write(encodeNodeMessage({ type: 'error', ...error, ...(id === undefined ? {} : { id }) }))
  }

  close(reason: CloseReason, retryAfterMs?: number): void {
    if (this.#closing !== undefined) return
    this.#closing = reason
    const retry = retryAfterMs === undefined ? {} : { retryAfterMs }
    this.socket.send(encodeNodeMessage({ type: 'closing', reason, ...retry }))
    this.socket.close(closeCodes[reason], closeTextOf(reason))
  }

  /** For a peer that does not read: no close frame would reach it. */
  abandon(reason: CloseReason): void {
    this.#closing ??= reason
    this.socket.terminate()
  }
}
