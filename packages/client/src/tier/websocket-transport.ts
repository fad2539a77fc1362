import type { Hello, PeerMessage, ProtocolError } from '@peerage/protocol'
import { EVENT_PREFIX, decodeNodeMessage, isErrorCode, isObject, protocolError } from '@peerage/protocol'
import type { WebSocketClass, WebSocketLike } from '../platform/platform.js'
import type { Clock, Timer } from '../lib/clock.js'
import { PeerageError } from '../lib/error.js'
import { cutText } from './link.js'
import { aText, check } from '../lib/check.js'
import type { OpenTransport, Transport, TransportEvents } from './transport.js'

// The few packets of engine.io 4 and socket.io 5 that the native wire uses, on a bare WebSocket. socket.io-client
// alone would be two thirds of the SDK's bytes, and would bring its own idea of when to come back.

/** A cut: no close frame came (RFC 6455 §7.1.5). */
const CUT = 1006
/** A node answers a close frame so soon, or it cannot be reached. */
const CLOSE_MS = 2_000
/** Until the node has said how often it pings. */
const FIRST_BEAT_MS = 10_000
/** Until anything comes: before the attempt ends by itself [WL5], for here it is known what is missing. */
const SILENT_MS = 8_000
const BEAT_LEAST_MS = 100
const BEAT_MOST_MS = 10 * 60_000

/** Of its `readyState`: it can send, and it is over. */
const OPEN = 1
const CLOSED = 3

/** What to look at, whatever the reason. */
export const ANYHOW = 'Is the node running, are scheme, host and port right, and is its certificate trusted?'
const UNTOLD = `this platform does not say why (a browser shows it in its console). ${ANYHOW}`
const SILENT = `nothing came within ${SILENT_MS / 1_000} s. Is it a node that listens there, and does a proxy pass WebSocket on?`
const NO_NODE = 'what answers there does not speak as a node does'

const closedAtOnce = (code: number): string =>
  `it was opened, and closed with ${code} before anything came. Is it a node that listens there?`

/** Whole, or for a page a path of its own site. */
const URL_PATTERN = /^(?:(?:http|ws)s?:\/\/|[./])/i

/**
 * Where a tier at `url` takes connections; one whose URL has a path, below that path. Query and hash are not used.
 * @throws TypeError for what is no URL of a node
 */
export function endpointOf(url: string | URL): string {
  const text = url instanceof URL ? url.href : url
  check('url', text, aText)
  const endpoint = URL_PATTERN.test(text) ? urlOf(text) : undefined
  if (endpoint === undefined) {
    const given = JSON.stringify(text)
    if (/^(?:http|ws)s?:/i.test(text))
      throw new TypeError(
        `url must be one such as https://tier.example or http://localhost:9000; ${given} is not`,
      )
    // `localhost:9000` is a URL too, with a scheme of its own.
    const meant = !/^[./]|:\/\//.test(text) && urlOf(`http://${text}`) !== undefined
    const hint = meant ? `: did you mean "http://${text}"?` : ''
    throw new TypeError(`url must begin with http://, https://, ws:// or wss://; it is ${given}${hint}`)
  }
  endpoint.hash = ''
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

/** `whyNotOpened` reads the `error` of an error event; '': it does not tell. */
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

/** One connection: waits for the first packet, greets, then passes on what comes; a silence ends it. */
class WebSocketTransport implements Transport {
  readonly #socket: WebSocketLike
  readonly #hello: Hello
  readonly #events: TransportEvents
  readonly #options: WebSocketTransportOptions
  /** Until anything has come, it may be no node, or nothing at all. */
  #state: 'connecting' | 'opened' | 'heard' | 'greeted' | 'over' = 'connecting'
  #beatMs = FIRST_BEAT_MS
  #heardAt: number
  #silence: Timer | undefined
  /** What the platform said of its last error. */
  #failure: unknown
  /** A leave was the last that it sent. */
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
      // A close follows; but in Node 22 its own WebSocket says no more than this of one that never opened.
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
        // Only `ws` has a word for it. It would keep a process for 30 s that has lost its network.
        if ('terminate' in socket && typeof socket.terminate === 'function') socket.terminate()
        resolve()
      })
      socket.addEventListener('close', () => {
        timer.cancel()
        resolve()
      })
      // After a leave the node closes, when the name is free: that is what is waited for.
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
    // engine.io's packet type, and of its messages socket.io's.
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
    // What is no time in which a node could answer is not heeded.
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

  // Whatever comes is a sign of life: a ping may have to wait behind much that others sent.
  #watchSilence(ms: number): void {
    this.#silence?.cancel()
    this.#silence = this.#options.clock.after(ms, () => {
      const mostMs = this.#isHeard ? this.#beatMs : SILENT_MS
      const leftMs = this.#heardAt + mostMs - this.#options.clock.now()
      // The time of day may have jumped back.
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

  /** False: it was over before. */
  #finish(): boolean {
    if (this.#state === 'over') return false
    this.#state = 'over'
    this.#silence?.cancel()
    return true
  }
}

/** No WebSocket could be opened. `why`: as far as the platform tells, else ''; `cause`: its own error, if any. */
export function openFailure(endpoint: string, why: string, cause: unknown): PeerageError {
  const { origin, pathname } = new URL(endpoint)
  const text = `no WebSocket to ${origin}${pathname} could be opened: ${why || UNTOLD}`
  return new PeerageError('unreachable', text, cause === undefined ? {} : { cause })
}

/** Number() throws for some of what JSON can hold. */
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

/** A CONNECT_ERROR's data; undefined: no node of ours said it, so it counts as a cut. */
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
