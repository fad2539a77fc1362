import type { Hello, PeerMessage, ProtocolError } from '@peerage/protocol'
import { EVENT_PREFIX, decodeNodeMessage, isErrorCode, isObject, protocolError } from '@peerage/protocol'
import type { WebSocketClass, WebSocketLike } from '../platform/platform.js'
import type { Clock, Timer } from '../lib/clock.js'
import { PeerageError } from '../lib/error.js'
import { cutText } from './connector.js'
import { aText, check } from '../lib/check.js'
import type { OpenTransport, Transport, TransportEvents } from './transport.js'

// Speaks the few packets of engine.io 4 and socket.io 5 that the native wire uses, over a plain WebSocket.
// socket.io-client would make up two thirds of the SDK's size, and has its own rules for reconnecting.

/** The close code for a connection that ended without a close frame (RFC 6455 §7.1.5). */
const CUT = 1006
/** A node that does not answer a close frame within this time cannot be reached. */
const CLOSE_MS = 2_000
/** The longest silence that is allowed until the node has sent its ping interval. */
const FIRST_BEAT_MS = 10_000
/**
 * How long to wait for the first packet. It is shorter than the limit of an attempt [WL5], because here the error can
 * be more precise.
 */
const SILENT_MS = 8_000
const BEAT_LEAST_MS = 100
const BEAT_MOST_MS = 10 * 60_000

/** Values of `readyState`. */
const OPEN = 1
const CLOSED = 3

/** Advice that fits every reason. */
export const ANYHOW = 'Is the node running, are scheme, host and port right, and is its certificate trusted?'
const UNTOLD = `this platform does not say why (a browser shows it in its console). ${ANYHOW} If the page has a Content-Security-Policy, does its connect-src allow this URL?`
const SILENT = `nothing came within ${SILENT_MS / 1_000} s. Is it a node that listens there, and does the proxy in front of it forward WebSocket?`
const NO_NODE = 'the server there does not speak the protocol of a node'

const closedAtOnce = (code: number): string =>
  `it was opened, and closed with code ${code} before anything came. Is it a node that listens there?`

/** An absolute URL, or a path on the page's own site. */
const URL_PATTERN = /^(?:(?:http|ws)s?:\/\/|[./])/i

/**
 * The WebSocket URL of a node at `url`: `/peerage/` below the path of `url`.
 * @throws TypeError if `url` cannot be the URL of a node, or has a part that a node would not get
 */
export function endpointOf(url: string | URL): string {
  const text = url instanceof URL ? url.href : url
  check('url', text, aText)
  const endpoint = URL_PATTERN.test(text) ? urlOf(text) : undefined
  if (endpoint === undefined) {
    const given = JSON.stringify(text)
    if (/^(?:http|ws)s?:/i.test(text))
      throw new TypeError(
        `url must be an address such as https://peerage.example or http://localhost:9000; it is ${given}`,
      )
    // `localhost:9000` parses as a URL too, with the scheme `localhost`.
    const meant = !/^[./]|:\/\//.test(text) && urlOf(`http://${text}`) !== undefined
    const hint = meant ? `: did you mean "http://${text}"?` : ''
    throw new TypeError(`url must begin with http://, https://, ws:// or wss://; it is ${given}${hint}`)
  }
  // The text may hold a password, so the error does not show it.
  if (endpoint.username !== '' || endpoint.password !== '')
    throw new TypeError('url must not have a user or password: pass the option `token` to connect()')
  if (endpoint.search !== '' || endpoint.hash !== '')
    throw new TypeError(
      'url must not have a query (?) or hash (#): a node does not get them; pass a token as the option `token`',
    )
  endpoint.protocol = endpoint.protocol.replace('http', 'ws')
  endpoint.pathname = `${endpoint.pathname.replace(/\/$/, '')}/peerage/`
  endpoint.search = '?EIO=4&transport=websocket'
  return endpoint.href
}

function urlOf(text: string): URL | undefined {
  try {
    return new URL(text, globalThis.location?.href)
  } catch {
    return undefined
  }
}

/** `whyNotOpened` explains the `error` of an error event, or returns ''. */
export function websocketTransport(
  endpoint: string,
  Socket: WebSocketClass,
  clock: Clock,
  whyNotOpened: (error: unknown) => string = () => '',
): OpenTransport {
  return (hello, events) =>
    new WebSocketTransport(new Socket(endpoint), hello, events, { endpoint, clock, whyNotOpened })
}

interface WebSocketTransportOptions {
  endpoint: string
  clock: Clock
  whyNotOpened: (error: unknown) => string
}

/** A connection that waits for the first packet, sends the hello, then passes on messages. It ends after a silence. */
class WebSocketTransport implements Transport {
  readonly #socket: WebSocketLike
  readonly #hello: Hello
  readonly #events: TransportEvents
  readonly #options: WebSocketTransportOptions
  /** `heard`: something has arrived. Before that, the other side may not be a node at all. */
  #state: 'connecting' | 'opened' | 'heard' | 'greeted' | 'over' = 'connecting'
  #beatMs = FIRST_BEAT_MS
  #heardAt: number
  #silence: Timer | undefined
  /** The last error that the platform reported. */
  #failure: unknown
  /** Whether the last message that was sent is a leave. */
  #leaves = false

  constructor(
    socket: WebSocketLike,
    hello: Hello,
    events: TransportEvents,
    options: WebSocketTransportOptions,
  ) {
    this.#socket = socket
    this.#hello = hello
    this.#events = events
    this.#options = options
    this.#heardAt = options.clock.now()
    socket.addEventListener('message', ({ data }) => this.#onPacket(data))
    socket.addEventListener('open', () => {
      if (this.#state === 'connecting') this.#state = 'opened'
    })
    socket.addEventListener('close', ({ code }) => this.#cut(code))
    socket.addEventListener('error', (event) => {
      if (this.#state === 'over') return
      if ('error' in event) this.#failure = event.error
      // Usually a close event follows. But Node 22's own WebSocket fires only this event if it could not open.
      if (!this.#isHeard) this.#cut()
    })
    this.#watchSilence(SILENT_MS)
  }

  send({ type, ...fields }: PeerMessage): boolean {
    if (this.#state !== 'greeted' || this.#socket.readyState !== OPEN) return false
    this.#socket.send(EVENT_PREFIX + JSON.stringify([type, fields]))
    this.#leaves = type === 'leave'
    return true
  }

  close(): Promise<void> {
    const socket = this.#socket
    return new Promise((resolve) => {
      if (!this.#finish() || socket.readyState === CLOSED) return resolve()
      const timer = this.#options.clock.after(CLOSE_MS, () => {
        socket.close()
        // Only `ws` has `terminate`. Without it, a process that has lost its network would run for another 30 s.
        if ('terminate' in socket && typeof socket.terminate === 'function') socket.terminate()
        resolve()
      })
      socket.addEventListener('close', () => {
        timer.cancel()
        resolve()
      })
      // After a leave we wait for the node to close the connection, because it does so when the name is free.
      if (!this.#leaves) socket.close()
    })
  }

  get #isHeard(): boolean {
    return this.#state === 'heard' || this.#state === 'greeted'
  }

  #onPacket(data: unknown): void {
    if (this.#state === 'over' || typeof data !== 'string') return
    if (!this.#isHeard) this.#state = 'heard'
    this.#heardAt = this.#options.clock.now()
    // The packet type of engine.io. For a message (4), the packet type of socket.io follows.
    switch (data[0] === '4' ? data.slice(0, 2) : data[0]) {
      case '0':
        return this.#greet(parse(data.slice(1)))
      case '2':
        return this.#socket.send('3')
      case '40':
        return
      case '42':
        return this.#receive(parse(data.slice(2)))
      case '44':
        return this.#refused(readRefusal(data.slice(2)))
      default:
        if (data[0] === '4') this.#cut(CUT, NO_NODE)
    }
  }

  #greet(opened: unknown): void {
    const said = isObject(opened) ? numberOf(opened['pingInterval']) + numberOf(opened['pingTimeout']) : NaN
    // Ignore a time that is too short or too long to be useful.
    if (said >= BEAT_LEAST_MS && said <= BEAT_MOST_MS) this.#beatMs = said
    this.#socket.send(`40${JSON.stringify(this.#hello)}`)
    this.#state = 'greeted'
    this.#watchSilence(this.#beatMs)
  }

  #receive(event: unknown): void {
    const read = Array.isArray(event)
      ? decodeNodeMessage(typeof event[0] === 'string' ? event[0] : '', event[1])
      : { ok: false as const, error: protocolError('bad-frame', 'the frame is not ["type", {…}]') }
    if (read.ok) this.#events.message(read.value)
    else this.#events.malformed(read.error)
  }

  #refused(refusal: ProtocolError | undefined): void {
    if (refusal === undefined) return this.#cut(CUT, NO_NODE)
    this.#finish()
    this.#socket.close()
    this.#events.refused(refusal)
  }

  // Every packet counts as a sign of life, because a ping may be queued behind much other traffic.
  #watchSilence(ms: number): void {
    this.#silence?.cancel()
    this.#silence = this.#options.clock.after(ms, () => {
      const mostMs = this.#isHeard ? this.#beatMs : SILENT_MS
      const leftMs = this.#heardAt + mostMs - this.#options.clock.now()
      // The system clock may have been set back.
      if (leftMs > 0) this.#watchSilence(Math.min(leftMs, this.#beatMs))
      else this.#cut(CUT, this.#isHeard ? `nothing came from the node for ${this.#beatMs / 1_000} s` : SILENT)
    })
  }

  #cut(code = CUT, detail?: string): void {
    if (this.#state === 'over') return
    const { endpoint, whyNotOpened } = this.#options
    const whyNotHeard = (): string =>
      this.#state === 'opened' ? closedAtOnce(code) : whyNotOpened(this.#failure)
    const error = this.#isHeard
      ? new PeerageError('unreachable', detail ?? cutText(code))
      : openFailure(endpoint, detail ?? whyNotHeard(), this.#failure)
    this.#finish()
    this.#socket.close()
    this.#events.closed(code, error)
  }

  /** Returns false if the connection was over already. */
  #finish(): boolean {
    if (this.#state === 'over') return false
    this.#state = 'over'
    this.#silence?.cancel()
    return true
  }
}

/**
 * The error for a WebSocket that could not be opened. `why` is the platform's reason, or ''. `cause` is its error, if
 * any.
 */
export function openFailure(endpoint: string, why: string, cause: unknown): PeerageError {
  const { origin, pathname } = new URL(endpoint)
  const text = `no WebSocket to ${origin}${pathname} could be opened: ${why || UNTOLD}`
  return new PeerageError('unreachable', text, cause === undefined ? {} : { cause })
}

/** Number() throws for some JSON values. */
function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : NaN
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The data of a CONNECT_ERROR. Undefined if it is not from a node of ours; the connection then counts as cut. */
function readRefusal(text: string): ProtocolError | undefined {
  const packet = parse(text)
  const data = isObject(packet) ? packet['data'] : undefined
  if (!isObject(data) || !isErrorCode(data['code'])) return undefined
  const { retryAfterMs } = data
  return protocolError(
    data['code'],
    typeof data['detail'] === 'string' ? data['detail'] : data['code'],
    typeof retryAfterMs === 'number' ? retryAfterMs : undefined,
  )
}
