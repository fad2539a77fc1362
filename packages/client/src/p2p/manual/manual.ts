import type { Name } from '@peerage/protocol'
import { parseName } from '@peerage/protocol'
import { abortError } from '../../lib/abort.js'
import { Channel } from '../channel/channel.js'
import type { Clock } from '../../lib/clock.js'
import {
  aPeerConnectionClass,
  aSignal,
  aText,
  aTime,
  check,
  checkOptions,
  given,
  objectWith,
} from '../../lib/check.js'
import type { Kinds } from '../../lib/check.js'
import { checkTimers, systemClock } from '../../lib/clock.js'
import { ConnectError, stageTexts } from '../connect-error.js'
import { givenClass, iceServersOf, newConnection } from '../connections.js'
import type { FreshConnection } from '../connections.js'
import { Handshake } from '../handshake/handshake.js'
import type { HandshakeEvent, Opened } from '../handshake/events.js'
import type { HandshakeSignal } from '../handshake/signals.js'
import { checkP2PServer } from '../options.js'
import type { AnyPeerConnectionClass, FindPeerConnection } from '../options.js'
import { describeContent, packText, unpackText } from './text.js'
import type { TextContent } from './text.js'

// Manual mode opens a channel without any server: people carry two texts from peer to peer, in a chat or as QR codes.

/** The options of `offerManually` and `answerManually`. */
export interface ManualOptions {
  /** The name of the other side, which becomes `channel.peer`. Default: 'manual'. */
  peer?: string | undefined
  /**
   * The STUN server to use, as host:port. Default: none. Then the text holds only addresses of this machine, which is
   * enough within one network.
   */
  p2pServer?: string | undefined
  /**
   * Milliseconds within which the channel must open. The side that offers counts from the call of `connect`, and the side
   * that answers from when its text is made. Default: 60,000, because people carry the texts.
   */
  deadlineMs?: number | undefined
  /** Ends the attempt when it aborts. Once the channel is open, it has no effect. */
  signal?: AbortSignal | undefined
  /** The WebRTC stack to use. Default: the browser's; in Node, node-datachannel if it is installed. */
  RTCPeerConnection?: AnyPeerConnectionClass | undefined
  /** The clock and timers to use, for tests. Default: the system's. */
  clock?: Clock | undefined
}

const manualKinds: Kinds<ManualOptions> = {
  peer: aText,
  p2pServer: aText,
  deadlineMs: aTime,
  signal: aSignal,
  RTCPeerConnection: aPeerConnectionClass,
  clock: objectWith('a Clock', 'now', 'after'),
}

/** The result of `offerManually`. */
export interface ManualOffer {
  /** The text for the other side: about 130 characters of base64url (SPEC.md, Manual mode). */
  readonly text: string
  /**
   * Opens the channel, given the text of the other side's answer.
   * @throws TypeError if the text is not an answer
   * @throws ConnectError if no channel opened in time
   * @throws the signal's reason when the signal of the options aborts
   */
  connect(answer: string): Promise<Channel>
  /** Gives up the attempt, or closes the channel at once. */
  close(): void
}

/** The result of `answerManually`. */
export interface ManualAnswer {
  /**
   * The text for the side that made the offer. It should arrive there within half a minute, because ICE gives up a path on
   * which it hears nothing.
   */
  readonly text: string
  /**
   * The channel. It opens up to 5 s later if only this side can open the path, as behind its own NAT (SPEC.md, PP24).
   * @throws ConnectError if no channel opened in time
   * @throws the signal's reason when the signal of the options aborts
   */
  readonly channel: Promise<Channel>
  /** Gives up the attempt, or closes the channel at once. */
  close(): void
}

const TERMS = { label: '', ordered: true }
const DEADLINE_MS = 60_000
/** How long we wait for candidates. Then the text is made without those of a STUN server that has not answered. */
const GATHER_MS = 3_000
/** node-datachannel reports `complete` shortly before it reports the last candidates. */
const SETTLE_MS = 50
/**
 * How long the answering side, once its text is made, sends nothing on its own. If its packets arrive while a
 * libdatachannel takes in the answer, DTLS may end there before the fingerprint is stored. Then the connection fails for
 * good (pull request 1612 of libdatachannel). A program carries the text within this time. Meanwhile this side answers the
 * packets of the other one, so only a path that this side must open first (through its own NAT or firewall) waits. A text
 * that people carry takes longer, but then the race needs two round trips within some microseconds of the other machine.
 */
const HOLD_MS = 5_000
/** The same if this side's addresses are mDNS names, because other machines often cannot resolve these. */
const HOLD_MDNS_MS = 1_000
const MDNS_PATTERN = /\.local /

/** The functions of manual mode, for one platform. */
export interface Manual {
  /**
   * Begins a channel in manual mode (SPEC.md, PP24). Resolves after at most 3 s, when the text for the other side is made.
   * @throws TypeError for a wrong option
   * @throws ConnectError if there is no WebRTC here
   * @throws the signal's reason when the signal aborts
   * @example
   * const offer = await offerManually({ p2pServer: 'stun.example.org:9901' })
   * show(offer.text)
   * const channel = await offer.connect(await typed()) // the text of the answer
   */
  offerManually: (options?: ManualOptions) => Promise<ManualOffer>
  /**
   * Answers the offer of the other side. Resolves after at most 3 s, when the text for the other side is made.
   * @throws TypeError if the text is not an offer, and for a wrong option
   * @throws ConnectError if there is no WebRTC here
   * @throws the signal's reason when the signal aborts
   * @example
   * const answer = await answerManually(await typed(), { p2pServer: 'stun.example.org:9901' })
   * show(answer.text)
   * const channel = await answer.channel
   */
  answerManually: (offer: string, options?: ManualOptions) => Promise<ManualAnswer>
}

export function manualOn(find: FindPeerConnection): Manual {
  return {
    offerManually: (options = {}) => offerManually(find, options),
    answerManually: (offer, options = {}) => answerManually(find, offer, options),
  }
}

async function offerManually(find: FindPeerConnection, options: ManualOptions): Promise<ManualOffer> {
  const side = new Side('offer', find, options)
  side.handshake.offer(() => Promise.resolve(true))
  const text = await side.text
  const connect = async (answer: string): Promise<Channel> => {
    const { sdp, candidates } = read(answer, 'answer')
    side.handshake.receive({ type: 'answer', sdp, restart: false })
    side.handshake.receive({ type: 'candidates', candidates })
    return side.channel()
  }
  return { text, connect, close: () => side.close() }
}

async function answerManually(
  find: FindPeerConnection,
  offer: string,
  options: ManualOptions,
): Promise<ManualAnswer> {
  const { sdp, candidates } = read(offer, 'offer')
  const side = new Side('answer', find, options)
  side.handshake.answer({ type: 'offer', sdp, restart: false, ...TERMS }, Promise.resolve(undefined))
  const text = await side.text
  side.begin(candidates)
  const channel = side.channel()
  // The application may show the text first and await the channel later, so an early failure must not count as unhandled.
  channel.catch(() => undefined)
  return { text, channel, close: () => side.close() }
}

function read(text: string, type: TextContent['type']): { sdp: string; candidates: string[] } {
  check(type, text, aText)
  const content = unpackText(text)
  if (content?.type !== type) throw new TypeError(`this text is not a manual ${type}`)
  return describeContent(content)
}

const ADVICE = 'make two new texts to try again'
/** Without a node there is neither TURN nor `peer.p2p`, which the texts of a call advise. */
const TEXTS = {
  ...stageTexts,
  ice: 'no network path to the other side was found',
  dtls: 'a path was found, but not secured in time',
  timeout: 'a path was found and secured, but no channel opened in time',
}

type Result = { channel: Channel } | { error: unknown }

/** This side of a handshake. It collects its signals into one text. */
class Side {
  readonly handshake: Handshake
  readonly text: Promise<string>
  readonly #peer: Name
  readonly #find: FindPeerConnection
  readonly #options: ManualOptions
  readonly #clock: Clock
  readonly #candidates: string[] = []
  #gathered: () => void = () => undefined
  #settle: (result: Result) => void = () => undefined
  #result: Result | undefined
  #channel: Promise<Channel> | undefined

  constructor(type: TextContent['type'], find: FindPeerConnection, options: ManualOptions) {
    checkOptions(options, manualKinds)
    checkP2PServer(options.p2pServer)
    const peer = parseName(options.peer ?? 'manual')
    if (!peer.ok) throw new TypeError(given('peer', peer.problem, options.peer))
    this.#peer = peer.value
    this.#find = find
    this.#options = options
    this.#clock = options.clock ?? systemClock
    checkTimers(this.#clock)
    options.signal?.throwIfAborted()
    let sdp = ''
    const complete = new Promise<void>((resolve) => (this.#gathered = resolve))
    this.text = complete.then(() => {
      if (this.#result && 'error' in this.#result) throw this.#result.error
      return packText(type, sdp, this.#candidates)
    })
    this.handshake = new Handshake({
      id: 'manual',
      polite: type === 'answer',
      terms: TERMS,
      clock: this.#clock,
      relayOnly: false,
      holdCandidates: false,
      texts: TEXTS,
      prepare: () => this.#prepare(),
      send: (signal) => {
        sdp = this.#collect(signal) ?? sdp
        return Promise.resolve()
      },
      onEvent: (event) => this.#onEvent(event),
    })
    options.signal?.addEventListener(
      'abort',
      () => {
        if (!this.#result) this.#end(abortError(options.signal))
      },
      { once: true },
    )
  }

  /** Returns the same promise at each call. */
  channel(): Promise<Channel> {
    this.#channel ??= new Promise((resolve, reject) => {
      const { deadlineMs = DEADLINE_MS } = this.#options
      const timer = this.#clock.after(deadlineMs, () => this.handshake.end('no channel opened in time'))
      this.#settle = (result) => {
        timer.cancel()
        if ('error' in result) reject(result.error)
        else resolve(result.channel)
      }
      if (this.#result) this.#settle(this.#result)
    })
    return this.#channel
  }

  /** Begins to send to the side that offers. mDNS names are those of browsers, which need no time. */
  begin(candidates: string[]): void {
    const holdMs = this.#candidates.some((line) => MDNS_PATTERN.test(line)) ? HOLD_MDNS_MS : HOLD_MS
    const isBrowser = candidates.some((line) => MDNS_PATTERN.test(line))
    this.#clock.after(isBrowser ? 0 : holdMs, () =>
      this.handshake.receive({ type: 'candidates', candidates }),
    )
  }

  close(): void {
    this.handshake.close('closed here')
  }

  async #prepare(): Promise<FreshConnection> {
    const PeerConnection = givenClass(this.#options.RTCPeerConnection) ?? (await this.#find())
    const iceServers = iceServersOf(this.#options.p2pServer ?? null, null)
    const connection = newConnection(PeerConnection, { iceServers })
    connection.addEventListener('icegatheringstatechange', () => {
      if (connection.iceGatheringState === 'complete') this.#clock.after(SETTLE_MS, this.#gathered)
    })
    this.#clock.after(GATHER_MS, this.#gathered)
    return { connection }
  }

  #collect(signal: HandshakeSignal): string | undefined {
    if (signal.type === 'candidates') this.#candidates.push(...signal.candidates)
    return signal.type === 'offer' || signal.type === 'answer' ? signal.sdp : undefined
  }

  #onEvent(event: HandshakeEvent): void {
    switch (event.type) {
      case 'open':
        return this.#opened(event)
      case 'end':
        return this.#end(new ConnectError(this.#peer, event.stage, `${event.detail}; ${ADVICE}`))
      // A lost channel is never reopened here, so there is nothing to do.
      case 'closed-for-good':
    }
  }

  #opened(opened: Opened): void {
    const channel = new Channel({
      to: { name: this.#peer, since: 0 },
      terms: TERMS,
      handshake: this.handshake,
      opened,
      context: {
        clock: this.#clock,
        // Without nodes there is no delivery, so the second stream carries only the goodbye.
        carriers: { attach: () => () => undefined, kick: () => undefined, receive: () => false },
        onError: (error: unknown) => console.error(error),
      },
    })
    this.#result = { channel }
    this.#settle(this.#result)
  }

  #end(error: unknown): void {
    if (this.#result && 'error' in this.#result) return
    const reason = error instanceof Error ? error.message : String(error)
    if (this.#result) return this.#result.channel.finish(reason, false)
    this.#result = { error }
    this.handshake.close(reason)
    this.#gathered()
    this.#settle(this.#result)
  }
}
