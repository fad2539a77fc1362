// A Binding transaction over UDP (RFC 8489 §6.2.1), for `doctor` and for tests.
import { randomBytes } from 'node:crypto'
import type { RemoteInfo, Socket } from 'node:dgram'
import { type TransportAddress, transportAddress } from './address.js'
import { type StunClock, systemClock } from './clock.js'
import { seal, verifyFingerprint } from './integrity.js'
import { type Message, BINDING, TRANSACTION_ID_BYTES, decode, encode, find } from './message.js'

export interface QueryOptions {
  /** A bound UDP socket of the server's family. It may carry other traffic: a query takes only its own answer. */
  readonly socket: Socket
  /** The server's IP address and port. The caller resolves host names. */
  readonly address: string
  readonly port: number
  readonly signal?: AbortSignal
  readonly clock?: StunClock
  /** Milliseconds until the first retransmission. It doubles each time (RFC 8489 §6.2.1: RTO, 500 ms). */
  readonly rtoMs?: number
  /** How many requests a query sends at most (RFC 8489 §6.2.1: Rc, 7). */
  readonly attempts?: number
  /** How many RTOs a query waits after its last request (RFC 8489 §6.2.1: Rm, 16). */
  readonly lastWaitRtos?: number
  /** Send the request with FINGERPRINT, and accept only an answer whose fingerprint is right. */
  readonly fingerprint?: boolean
}

export type QueryResult =
  /** `reflexive` is the socket's address as the server sees it. `roundTripMs` counts from the latest request. */
  | {
      readonly kind: 'answered'
      readonly reflexive: TransportAddress
      readonly roundTripMs: number
      readonly attempts: number
      readonly bytes: number
    }
  /** The server answered with an error, or without an address; `code` is 0 if it named none. */
  | { readonly kind: 'refused'; readonly code: number; readonly reason: string }
  | { readonly kind: 'timeout'; readonly attempts: number }
  | { readonly kind: 'aborted' }
  /** The datagram could not be sent, or the socket failed. */
  | { readonly kind: 'failed'; readonly error: Error }

export const QUERY_DEFAULTS = { rtoMs: 500, attempts: 7, lastWaitRtos: 16 } as const

/** Milliseconds to wait after each request, the last one included: 39.5 s in all with the defaults. */
export function retransmissionWaits(rtoMs: number, attempts: number, lastWaitRtos: number): number[] {
  const waits = Array.from({ length: Math.max(0, attempts - 1) }, (_, index) => rtoMs * 2 ** index)
  return [...waits, rtoMs * lastWaitRtos]
}

/** Asks a STUN server for the socket's reflexive address. Never rejects, and leaves no listener and no timer. */
export function queryBinding(options: QueryOptions): Promise<QueryResult> {
  const server = transportAddress(options.address, options.port)
  if (server === undefined) {
    const error = new RangeError(`${options.address} with port ${options.port} is not an IP address and port`)
    return Promise.resolve({ kind: 'failed', error })
  }
  if (options.signal?.aborted === true) return Promise.resolve({ kind: 'aborted' })
  return new Promise((resolve) => transact(options, server, resolve))
}

function transact(
  options: QueryOptions,
  server: TransportAddress,
  resolve: (result: QueryResult) => void,
): void {
  const { socket, signal, clock = systemClock, fingerprint = false } = options
  const { rtoMs, attempts, lastWaitRtos } = { ...QUERY_DEFAULTS, ...defined(options) }
  const transactionId = randomBytes(TRANSACTION_ID_BYTES)
  const plain = encode({ class: 'request', method: BINDING, transactionId, attributes: [] })
  const request = seal(plain, { fingerprint })
  const waits = retransmissionWaits(rtoMs, attempts, lastWaitRtos)
  let sent = 0
  let sentAtMs = 0
  let timer: { cancel(): void } | undefined

  const end = (result: QueryResult): void => {
    timer?.cancel()
    socket.off('message', receive).off('error', fail).off('close', closed)
    signal?.removeEventListener('abort', abort)
    resolve(result)
  }
  const fail = (error: Error): void => end({ kind: 'failed', error })
  const closed = (): void => fail(new Error('the socket was closed'))
  const abort = (): void => end({ kind: 'aborted' })
  const receive = (bytes: Buffer, from: RemoteInfo): void => {
    const message = answerTo(transactionId, server, bytes, from, fingerprint)
    if (message === undefined) return
    const roundTripMs = clock.monotonic() - sentAtMs
    end(outcome(message, { roundTripMs, attempts: sent, bytes: bytes.length }))
  }
  const send = (): void => {
    const waitMs = waits[sent]
    if (waitMs === undefined) return end({ kind: 'timeout', attempts: sent })
    sent++
    sentAtMs = clock.monotonic()
    timer = clock.after(waitMs, send)
    try {
      socket.send(request, server.port, options.address, (error) => {
        if (error !== null) fail(error)
      })
    } catch (error) {
      // A socket that is already closed throws. Any other failure arrives in the callback.
      fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  socket.on('message', receive).on('error', fail).on('close', closed)
  signal?.addEventListener('abort', abort)
  send()
}

/** Leaves out options that are undefined, so that they do not replace a default. */
function defined(options: QueryOptions): { rtoMs?: number; attempts?: number; lastWaitRtos?: number } {
  return {
    ...(options.rtoMs === undefined ? {} : { rtoMs: options.rtoMs }),
    ...(options.attempts === undefined ? {} : { attempts: options.attempts }),
    ...(options.lastWaitRtos === undefined ? {} : { lastWaitRtos: options.lastWaitRtos }),
  }
}

/** The message, if it answers this transaction and comes from the server that was asked. */
function answerTo(
  transactionId: Buffer,
  server: TransportAddress,
  bytes: Buffer,
  from: RemoteInfo,
  fingerprint: boolean,
): Message | undefined {
  const source = transportAddress(from.address, from.port)
  if (source?.address !== server.address || source.port !== server.port) return undefined
  const decoded = decode(bytes)
  if (!decoded.ok) return undefined
  const { message } = decoded
  if (message.class !== 'success' && message.class !== 'error') return undefined
  if (message.method !== BINDING || !transactionId.equals(message.transactionId)) return undefined
  return fingerprint && verifyFingerprint(bytes) !== 'valid' ? undefined : message
}

function outcome(
  message: Message,
  seen: { roundTripMs: number; attempts: number; bytes: number },
): QueryResult {
  if (message.class === 'error') {
    const error = find(message, 'error-code')
    return { kind: 'refused', code: error?.code ?? 0, reason: error?.reason ?? '' }
  }
  // RFC 8489 §6.3.3 and §14.1: an older server may answer with MAPPED-ADDRESS alone.
  const address = find(message, 'xor-mapped-address') ?? find(message, 'mapped-address')
  if (address === undefined) return { kind: 'refused', code: 0, reason: 'no address in the answer' }
  return { kind: 'answered', reflexive: address.address, ...seen }
}
