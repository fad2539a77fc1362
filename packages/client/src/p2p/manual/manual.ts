import type { Name } from '@peerage/protocol'
import { parseName } from '@peerage/protocol'
import { abortError } from '../../lib/abort.js'
import { Channel } from '../channel/channel.js'
import type { Clock } from '../../lib/clock.js'
import { aFunction, aSignal, aText, aTime, check, checkOptions, given, objectWith } from '../../lib/check.js'
import type { Kinds } from '../../lib/check.js'
import { checkTimers, systemClock } from '../../lib/clock.js'
import { ConnectError } from '../connect-error.js'
import { givenClass, iceServersOf, newConnection } from '../connections.js'
import type { Blank } from '../connections.js'
import { Handshake } from '../handshake/handshake.js'
import type { HandshakeEvent, Opened } from '../handshake/handshake.js'
import type { HandshakeSignal } from '../handshake/signals.js'
import { checkP2PServer } from '../options.js'
import type { AnyPeerConnectionClass, FindPeerConnection } from '../options.js'
import { describePart, packPart, unpackPart } from './text.js'
import type { Part } from './text.js'

// Two peers without any server: the texts travel by hand, in a chat, or as QR codes.

export interface ManualOptions {
  /** What the channel calls the other side; 'manual' by default. */
  peer?: string | undefined
  /** host:port of a STUN server; without one, only addresses of this machine are offered. */
  p2pServer?: string | undefined
  /** Milliseconds from the other side's text to the open channel; 60,000 by default, for people are slow. */
  deadlineMs?: number | undefined
  signal?: AbortSignal | undefined
  RTCPeerConnection?: AnyPeerConnectionClass | undefined
  clock?: Clock | undefined
}

const manualKinds: Kinds<ManualOptions> = {
  peer: aText,
  p2pServer: aText,
  deadlineMs: aTime,
  signal: aSignal,
  RTCPeerConnection: aFunction,
  clock: objectWith('a Clock', 'now', 'after'),
}

/** For the other side, to be answered with `answerManually`. */
export interface ManualOffer {
  readonly text: string
  /**
   * Opens the channel with the answer's text.
   * @throws TypeError for a text that is no answer, ConnectError when no channel opened
   */
  connect(answer: string): Promise<Channel>
  close(): void
}

/** For the side that offered, which should have it within half a minute: ICE gives up a path that stays silent. */
export interface ManualAnswer {
  readonly text: string
  /** @throws ConnectError when no channel opened in time */
  readonly channel: Promise<Channel>
  close(): void
}

const TERMS = { label: '', ordered: true }
const DEADLINE_MS = 60_000
/** A STUN server that does not answer must not hold the text back. */
const GATHER_MS = 3_000
/** node-datachannel says that it has gathered a little before it says what. */
const SETTLE_MS = 50

export interface Manual {
  /** Begins: its text goes to the other side. */
  offerManually: (options?: ManualOptions) => Promise<ManualOffer>
  /** @throws TypeError for a text that is no offer */
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
  side.handshake.receive({ type: 'candidates', candidates })
  const text = await side.text
  const channel = side.channel()
  // Whoever shows the text first, and waits for the channel later, still hears of its end then.
  channel.catch(() => undefined)
  return { text, channel, close: () => side.close() }
}

function read(text: string, type: Part['type']): { sdp: string; candidates: string[] } {
  check(type, text, aText)
  const part = unpackPart(text)
  if (part?.type !== type) throw new TypeError(`this text is not a manual ${type}`)
  return describePart(part)
}

type Result = { channel: Channel } | { error: unknown }

/** This side of a handshake whose signals are collected into one text. */
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

  constructor(type: Part['type'], find: FindPeerConnection, options: ManualOptions) {
    checkOptions(options, manualKinds)
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
      return packPart(type, sdp, this.#candidates)
    })
    this.handshake = new Handshake({
      id: 'manual',
      polite: type === 'answer',
      terms: TERMS,
      clock: this.#clock,
      relayOnly: false,
      holdCandidates: false,
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

  /** One, however often it is asked for. */
  channel(): Promise<Channel> {
    this.#channel ??= new Promise((resolve, reject) => {
      const { deadlineMs = DEADLINE_MS } = this.#options
      const timer = this.#clock.after(deadlineMs, () => this.handshake.end('too late'))
      this.#settle = (result) => {
        timer.cancel()
        if ('error' in result) reject(result.error)
        else resolve(result.channel)
      }
      if (this.#result) this.#settle(this.#result)
    })
    return this.#channel
  }

  close(): void {
    this.handshake.close('closed here')
  }

  async #prepare(): Promise<Blank> {
    const PeerConnection = givenClass(this.#options.RTCPeerConnection) ?? (await this.#find())
    const { p2pServer } = this.#options
    checkP2PServer(p2pServer)
    const connection = newConnection(PeerConnection, { iceServers: iceServersOf(p2pServer ?? null, null) })
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
        return this.#end(new ConnectError(this.#peer, event.stage, event.detail))
      // Nobody brings it back.
      case 'unwanted':
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
        // No tier, so no delivery: the second stream carries the goodbye alone.
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
