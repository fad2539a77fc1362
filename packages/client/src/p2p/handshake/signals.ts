import type { Name } from '@peerage/protocol'
import { isObject } from '@peerage/protocol'
import type { SendResult, Holder } from '../../delivery/signaling.js'
import { Rates } from '../../lib/rates.js'
import type { P2PContext, Terms } from '../options.js'
import { withOneFingerprint } from './fingerprint.js'

// The signals of two P2P controllers (SPEC.md, Signals). Nodes do not read them. The other side may be hostile, so every
// signal is checked here before WebRTC gets it.

export type Offer = { type: 'offer'; sdp: string; restart: boolean; resumes?: string | undefined } & Terms

/** An offer of another peer. */
export interface Call {
  from: Holder
  id: string
  offer: Offer
}

export type HandshakeSignal =
  | Offer
  | { type: 'answer'; sdp: string; restart: boolean }
  | { type: 'candidates'; candidates: string[] }
  | { type: 'end'; reason: EndReason }

/** The reasons of an `end` signal, each with the text that this side shows when the other side sent it. */
export const endTexts = {
  /** The sender's application refused the call, or this peer has too many labels open with the sender. */
  refused: 'refused by the other peer',
  /** The sender has too many handshakes under way. */
  busy: 'the other peer is busy: it has too many handshakes under way; try again in a few seconds',
  /** The sender gave up. Every unknown reason counts as this one. */
  ended: 'ended by the other peer',
  /** The sender's application closed the channel. */
  closed: 'closed by the other peer',
  'no-webrtc': 'the other peer has no WebRTC, or could not make a connection with it',
  /** The two sides have not verified each other (PP43). */
  'not-verified': 'the two peers have not verified each other',
  'relay-only':
    'the other peer takes calls through TURN only (`relayOnly`), and that is not possible there: its log says why',
}
export type EndReason = keyof typeof endTexts

/** How long a handshake may take, from the call to the open channel. */
export const DEADLINE_MS = 15_000

/** More than the description of a data channel ever needs, and small enough to check quickly. */
const SDP_MAX_LENGTH = 8192
export const CANDIDATES_MAX = 20
export const LABEL_MAX_LENGTH = 128
/** The most characters of the id of a handshake (packages/protocol/SPEC.md, WR9). */
const ID_MAX_LENGTH = 32
export const RETRANSMITS_MAX = 65535
// Whole lines of printable ASCII that end in CR LF, because two parsers may read a lone CR or LF in different ways.
const SDP_PATTERN = /^v=0\r\n(?:[a-z]=[ -~]*\r\n)+$/
// An IP address or an mDNS name. With other names, a peer could make this peer look up any name in the DNS.
const CANDIDATE_PATTERN =
  /^(?:a=)?candidate:\S{1,32} \d+ \S{1,9} \d+ (?:\d+(?:\.\d+){3}|[\da-f]*:[\da-f:.]*|[\w-]{1,63}\.local) \d+ typ [ -~]{1,256}$/i

export function isCandidate(input: unknown): input is string {
  return typeof input === 'string' && input.length <= 512 && CANDIDATE_PATTERN.test(input)
}

/** Checks a description, and returns the part of it that WebRTC may get. Undefined: malformed or hostile. */
function readDescription(input: unknown): string | undefined {
  if (typeof input !== 'string' || input.length > SDP_MAX_LENGTH || !SDP_PATTERN.test(input)) return undefined
  const lines = withOneFingerprint(input.split('\r\n'))
  const media = lines?.filter((line) => line.startsWith('m=')) ?? []
  const candidates = lines?.filter((line) => line.startsWith('a=candidate')) ?? []
  // The only media section is the one of the data channels.
  const isRight =
    media.length === 1 &&
    String(media[0]).startsWith('m=application ') &&
    candidates.length <= CANDIDATES_MAX &&
    candidates.every(isCandidate)
  return isRight ? lines?.join('\r\n') : undefined
}

/** Parses and checks the body of a signal. Undefined: malformed or hostile. */
export function decodeSignal(body: string): HandshakeSignal | undefined {
  let input: unknown
  try {
    input = JSON.parse(body)
  } catch {
    return undefined
  }
  if (!isObject(input)) return undefined
  const { type, candidates } = input
  const restart = input['restart'] === true
  switch (type) {
    case 'offer': {
      const sdp = readDescription(input['sdp'])
      const terms = readTerms(input)
      if (sdp === undefined || terms === undefined) return undefined
      return { type, sdp, restart, ...terms, resumes: readId(input) }
    }
    case 'answer': {
      const sdp = readDescription(input['sdp'])
      return sdp === undefined ? undefined : { type, sdp, restart }
    }
    case 'candidates':
      return Array.isArray(candidates) && candidates.length <= CANDIDATES_MAX && candidates.every(isCandidate)
        ? { type, candidates }
        : undefined
    case 'end':
      return { type, reason: isReason(input['reason']) ? input['reason'] : 'ended' }
    default:
      return undefined
  }
}

function isReason(reason: unknown): reason is EndReason {
  return typeof reason === 'string' && Object.hasOwn(endTexts, reason)
}

function readId({ resumes }: Record<string, unknown>): string | undefined {
  return typeof resumes === 'string' && resumes.length <= ID_MAX_LENGTH ? resumes : undefined
}

function readTerms(input: Record<string, unknown>): Terms | undefined {
  const { label, ordered, maxRetransmits } = input
  if (typeof label !== 'string' || label.length > LABEL_MAX_LENGTH || typeof ordered !== 'boolean')
    return undefined
  if (maxRetransmits === undefined) return { label, ordered }
  const counts = Number.isInteger(maxRetransmits) && Number(maxRetransmits) >= 0
  return counts && Number(maxRetransmits) <= RETRANSMITS_MAX
    ? { label, ordered, maxRetransmits: Number(maxRetransmits) }
    : undefined
}

/** Sends one signal to another peer. Its deadline is the longest time that a handshake may take. */
export function sendSignal(
  { signaling }: P2PContext,
  to: Name,
  handshake: string,
  signal: HandshakeSignal,
): Promise<SendResult> {
  return signaling.send(to, JSON.stringify(signal), { handshake, deadlineMs: DEADLINE_MS })
}

/** How many refusals may be unacknowledged at once. They share the outbox with the signals of this peer's own calls. */
export const REFUSALS_MAX = 32

/** Bounds the work that calls of other peers cause here (PP4). */
export class CallLimits {
  readonly #context: P2PContext
  readonly #rates: Rates
  #refusals = 0

  constructor(context: P2PContext) {
    this.#context = context
    this.#rates = new Rates(context.clock)
  }

  /** Counts an offer or a signal of `from` that costs this peer an answer. False: over the rate, so ignore it. */
  isWithinRate(from: Holder): boolean {
    return this.#rates.take(from.name)
  }

  /**
   * Tells a peer that its handshake ends here. Over a bound or a rate we send nothing, and the peer waits until its own
   * deadline.
   */
  refuse(from: Holder, handshake: string, reason: EndReason): void {
    if (this.#refusals >= REFUSALS_MAX || !this.isWithinRate(from)) return
    this.#refusals++
    void sendSignal(this.#context, from.name, handshake, { type: 'end', reason }).then(() => this.#refusals--)
  }
}

/** How many incoming handshakes there may be at once. Each has a connection with its own sockets. */
const INCOMING_MAX = 32
/** How many labels one other peer may use. */
const LABELS_MAX = 8

/** The members of a pair that count here. */
interface UnderWay {
  to: Name
  label: string
  isIncoming: boolean
  hasCallers: boolean
}

/** Makes room for a call: returns the pair that must end for it, if one must, or the reason to refuse the call. */
export function roomFor<T extends UnderWay>(
  { from, offer }: Call,
  underWay: T[],
): { evicted: T | undefined } | EndReason {
  const labels = underWay.filter(({ to, label }) => to === from.name && label !== offer.label)
  if (labels.length >= LABELS_MAX) return 'refused'
  const incoming = underWay.filter(({ isIncoming }) => isIncoming)
  if (incoming.length < INCOMING_MAX) return { evicted: undefined }
  const evicted = evictedFor(from.name, incoming)
  return evicted ? { evicted } : 'busy'
}

/**
 * Chooses the handshake to end when `from` calls and all places are taken: the oldest one of the peer that has the most.
 * So a few peers that begin handshakes and never finish them cannot keep others out. Undefined if no peer has more
 * than `from` would have.
 */
function evictedFor<T extends UnderWay>(from: Name, incoming: T[]): T | undefined {
  const counts = new Map<Name, number>()
  for (const { to } of incoming) counts.set(to, (counts.get(to) ?? 0) + 1)
  const most = Math.max(...counts.values())
  if (most <= (counts.get(from) ?? 0) + 1) return undefined
  return incoming.find(({ to, hasCallers }) => counts.get(to) === most && !hasCallers)
}

// Changes to descriptions before they are sent and after they arrive (SPEC.md, Signals).

const CANDIDATE_LINE_PATTERN = /^a=(end-of-)?candidate/

/**
 * Lines that an answer may share with its offer (RFC 8843, 8285, 8830, 8839, 3264, 8842, 8841). The fingerprint (RFC 8122)
 * is one of them, because with werift all peers of one process have the same certificate.
 */
const COMMON_PATTERN =
  /^a=(group|extmap-allow-mixed|msid-semantic|ice-options|mid|sendrecv|setup|sctp-port|sctpmap|max-message-size|fingerprint)\b/

/**
 * The form in which a description of this side is sent: whole lines that end in CR LF, without candidates, which are sent
 * later, and without the address that some stacks add when they have found one (RFC 8839 §4.3.1).
 */
export function ownDescription(sdp: string | undefined): string {
  return textOf(
    linesOf(sdp ?? '')
      .filter((line) => !CANDIDATE_LINE_PATTERN.test(line))
      .map((line) => line.replace(/^c=.*/, 'c=IN IP4 0.0.0.0').replace(/^(m=\w+) [1-9]\d* /, '$1 9 ')),
  )
}

/**
 * Removes the lines of an answer that only repeat a line of its offer (PP29). libdatachannel copies unknown attributes of
 * the offer into its answer and so accepts extensions that it does not support. With `sctp-init` (SNAP), a browser would
 * then send data while libdatachannel still waits for the SCTP handshake. A stack that supports SNAP writes its own line.
 */
export function answerTo(offer: string, answer: string): string {
  const offered = new Set(linesOf(offer))
  const isEcho = (line: string): boolean =>
    line.startsWith('a=') && !COMMON_PATTERN.test(line) && offered.has(line)
  return textOf(linesOf(answer).filter((line) => !isEcho(line)))
}

const linesOf = (sdp: string): string[] => sdp.split(/\r?\n/).filter((line) => line !== '')
const textOf = (lines: string[]): string => lines.map((line) => `${line}\r\n`).join('')

/** The largest message, in bytes, that a peer accepts if its description names no limit (RFC 8841 §6.1). */
const MESSAGE_BYTES = 65_536

/** The largest message that the writer of this description accepts, in bytes. */
export function messageBytesMaxOf(sdp: string): number {
  const [, said] = /^a=max-message-size:(\d+)/m.exec(sdp) ?? []
  if (said === undefined) return MESSAGE_BYTES
  // 0 means any size.
  return Number(said) || Infinity
}
