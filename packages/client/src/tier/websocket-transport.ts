import type { ProtocolError } from '@peerage/protocol'
import { EVENT_PREFIX, decodeNodeMessage, isErrorCode, isObject, protocolError } from '@peerage/protocol'
import type { WebSocketClass } from '../platform/platform.js'
import type { Clock, Timer } from '../lib/clock.js'
import { PeerageError } from '../lib/error.js'
import { cutText } from './link.js'
import { aText, check } from '../lib/check.js'
import type { OpenTransport } from './transport.js'

// The few packets of engine.io 4 and socket.io 5 that the native wire uses, on a bare WebSocket. socket.io-client
// alone would be two thirds of the SDK's bytes, and would bring its own idea of when to come back.

/** A cut: no close frame came (RFC 6455 §7.1.5). */
const CUT = 1006
/** A node answers a close frame so soon, or it cannot be reached. */
const CLOSE_MS = 2_000
/** Until the node has said how often it pings. */
const FIRST_BEAT_MS = 10_000
/** Until anything comes: before the attempt ends by itself [L5], for here it is known what is missing. */
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
  return (hello, events) => {
    const socket = new Socket(endpoint)
    let state: 'connecting' | 'opened' | 'heard' | 'greeted' | 'over' = 'connecting'
    let beatMs = FIRST_BEAT_MS
    let heardAt = clock.now()
    let silence: Timer | undefined
    let failure: unknown
    let leaves = false

    /** Until anything has come it may be no node, or nothing at all. */
    const isHeard = (): boolean => state === 'heard' || state === 'greeted'
    const finish = (): boolean => {
      if (state === 'over') return false
      state = 'over'
      silence?.cancel()
      return true
    }
    const cut = (code = CUT, detail?: string): void => {
      if (state === 'over') return
      const why = (): string => (state === 'opened' ? closedAtOnce(code) : whyNotOpened(failure))
      const error = isHeard()
        ? new PeerageError('unreachable', detail ?? cutText(code))
        : openFailure(endpoint, detail ?? why(), failure)
      finish()
      socket.close()
      events.closed(code, error)
    }
    // Whatever comes is a sign of life: a ping may have to wait behind much that others sent.
    const listen = (ms = beatMs): void => {
      silence?.cancel()
      silence = clock.after(ms, () => {
        const leftMs = heardAt + (isHeard() ? beatMs : SILENT_MS) - clock.now()
        // The time of day may have jumped back.
        if (leftMs > 0) listen(Math.min(leftMs, beatMs))
        else cut(CUT, isHeard() ? `nothing came from the node for ${beatMs / 1_000} s` : SILENT)
      })
    }
    const receive = (text: string): void => {
      const event = parse(text)
      const read = Array.isArray(event)
        ? decodeNodeMessage(typeof event[0] === 'string' ? event[0] : '', event[1])
        : { ok: false as const, error: protocolError('bad-frame', 'the frame is not ["type", {…}]') }
      if (read.ok) events.message(read.value)
      else events.malformed(read.error)
    }

    socket.addEventListener('message', ({ data }: { data: unknown }) => {
      if (state === 'over' || typeof data !== 'string') return
      if (!isHeard()) state = 'heard'
      heardAt = clock.now()
      // engine.io's packet type, and of its messages socket.io's.
      switch (data[0] === '4' ? data.slice(0, 2) : data[0]) {
        case '0': {
          const opened = parse(data.slice(1))
          const said = isObject(opened)
            ? numberOf(opened['pingInterval']) + numberOf(opened['pingTimeout'])
            : NaN
          // What is no time in which a node could answer is not heeded.
          if (said >= BEAT_LEAST_MS && said <= BEAT_MOST_MS) beatMs = said
          socket.send(`40${JSON.stringify(hello)}`)
          state = 'greeted'
          return listen()
        }
        case '2':
          return socket.send('3')
        case '40':
          return
        case '42':
          return receive(data.slice(2))
        case '44': {
          const refusal = readRefusal(data.slice(2))
          if (refusal === undefined) return cut(CUT, NO_NODE)
          finish()
          socket.close()
          return events.refused(refusal)
        }
        default:
          if (data[0] === '4') cut(CUT, NO_NODE)
      }
    })
    socket.addEventListener('open', () => {
      if (state === 'connecting') state = 'opened'
    })
    socket.addEventListener('close', ({ code }) => cut(code))
    socket.addEventListener('error', (event) => {
      if (state === 'over') return
      if ('error' in event) failure = event.error
      // A close follows; but in Node 22 its own WebSocket says no more than this of one that never opened.
      if (!isHeard()) cut()
    })
    listen(SILENT_MS)
    return {
      send({ type, ...fields }) {
        if (state !== 'greeted' || socket.readyState !== OPEN) return false
        socket.send(EVENT_PREFIX + JSON.stringify([type, fields]))
        leaves = type === 'leave'
        return true
      },
      close: () =>
        new Promise((resolve) => {
          if (!finish() || socket.readyState === CLOSED) return resolve()
          const timer = clock.after(CLOSE_MS, () => {
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
          if (!leaves) socket.close()
        }),
    }
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
