import type { Name } from '@peerage/protocol'
import { isObject } from '@peerage/protocol'
import type { SendResult, Stay } from '../../delivery/signaling.js'
import { Rates } from '../../lib/rates.js'
import type { P2PContext, Terms } from '../options.js'

// What two P2P controllers say to each other before they have a channel. Opaque to every node; whatever comes from
// the other side may be hostile, so nothing reaches WebRTC that does not pass here.

export type Offer = { type: 'offer'; sdp: string; restart: boolean; resumes?: string | undefined } & Terms

/** An offer as it came. */
export interface Call {
  from: Stay
  id: string
  offer: Offer
}

export type HandshakeSignal =
  | Offer
  | { type: 'answer'; sdp: string; restart: boolean }
  | { type: 'candidates'; candidates: string[] }
  | { type: 'end'; reason: EndReason }

/** Why one side ended a handshake, and what its other side says of it. */
export const endTexts = {
  /** Its application said no. */
  refused: 'refused by the other peer',
  /** It has too many handshakes under way. */
  busy: 'the other peer is busy: it has too many handshakes under way; try again in a few seconds',
  /** It gave up; and each reason that is not known here. */
  ended: 'ended by the other peer',
  /** Its application closed the channel. */
  closed: 'closed by the other peer',
  'no-webrtc': 'the other peer has no WebRTC, or could make no connection with it',
  'relay-only': 'the other peer takes calls through TURN only (`relayOnly`), and cannot: its log says why',
}
export type EndReason = keyof typeof endTexts

/** How long a handshake may take, from the call to the open channel. */
export const DEADLINE_MS = 15_000

/** More than a data channel's description ever needs, and small enough to check quickly. */
const SDP_MAX_LENGTH = 8192
export const CANDIDATES_MAX = 20
export const LABEL_MAX_LENGTH = 128
/** Of a handshake's id, as the tier carries it. */
const ID_MAX_LENGTH = 32
export const RETRANSMITS_MAX = 65535
// Whole lines of printable ASCII that end in CR LF: a lone CR or LF could hide a line from one parser.
const SDP_PATTERN = /^v=0\r\n(?:[a-z]=[ -~]*\r\n)+$/
// An IP address or an mDNS name: a peer must not make this one ask the DNS for a name of its choice.
const CANDIDATE_PATTERN =
  /^(?:a=)?candidate:\S{1,32} \d+ \S{1,9} \d+ (?:\d+(?:\.\d+){3}|[\da-f]*:[\da-f:.]*|[\w-]{1,63}\.local) \d+ typ [ -~]{1,256}$/i

export function isCandidate(input: unknown): input is string {
  return typeof input === 'string' && input.length <= 512 && CANDIDATE_PATTERN.test(input)
}

function isDescription(input: unknown): input is string {
  if (typeof input !== 'string' || input.length > SDP_MAX_LENGTH || !SDP_PATTERN.test(input)) return false
  const lines = input.split('\r\n')
  const media = lines.filter((line) => line.startsWith('m='))
  const candidates = lines.filter((line) => line.startsWith('a=candidate'))
  // One data channel and nothing else: no media is ever asked for.
  return (
    media.length === 1 &&
    String(media[0]).startsWith('m=application ') &&
    candidates.length <= CANDIDATES_MAX &&
    candidates.every(isCandidate)
  )
}

/** A signal's body as parsed and checked; undefined: malformed or hostile. */
export function decodeSignal(body: string): HandshakeSignal | undefined {
  let input: unknown
  try {
    input = JSON.parse(body)
  } catch {
    return undefined
  }
  if (!isObject(input)) return undefined
  const { type, sdp, candidates } = input
  const restart = input['restart'] === true
  switch (type) {
    case 'offer': {
      const terms = readTerms(input)
      return terms && isDescription(sdp)
        ? { type, sdp, restart, ...terms, resumes: readId(input) }
        : undefined
    }
    case 'answer':
      return isDescription(sdp) ? { type, sdp, restart } : undefined
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

/** One signal to another peer, kept no longer than a handshake may take. */
export function sendSignal(
  { signaling }: P2PContext,
  to: Name,
  handshake: string,
  signal: HandshakeSignal,
): Promise<SendResult> {
  return signaling.send(to, JSON.stringify(signal), { handshake, deadlineMs: DEADLINE_MS })
}

/** Refusals on their way at once: they share what signals may hold with this peer's own handshakes. */
export const REFUSALS_MAX = 32

/** What calls of others may cost this peer. */
export class CallLimits {
  readonly #context: P2PContext
  readonly #rates: Rates
  #refusals = 0

  constructor(context: P2PContext) {
    this.#context = context
    this.#rates = new Rates(context.clock)
  }

  /** Whether what a peer began may still cost this one something. */
  isWithinRate(from: Stay): boolean {
    return this.#rates.take(from.name)
  }

  /**
   * Tells a peer that its handshake comes to nothing here. Over the bound or the rate nothing is said: its deadline
   * tells it.
   */
  refuse(from: Stay, handshake: string, reason: EndReason): void {
    if (this.#refusals >= REFUSALS_MAX || !this.isWithinRate(from)) return
    this.#refusals++
    void sendSignal(this.#context, from.name, handshake, { type: 'end', reason }).then(() => this.#refusals--)
  }
}

/** Incoming handshakes at once, and labels of one peer: each is a connection with sockets of its own. */
const INCOMING_MAX = 32
const LABELS_MAX = 8

/** A pair, as far as it counts here. */
interface UnderWay {
  to: Name
  label: string
  isIncoming: boolean
  isCalled: boolean
}

/** Room for a call beside what is under way, and what must end for it; else why it is refused. */
export function roomFor<T extends UnderWay>(
  { from, offer }: Call,
  underWay: T[],
): { surplus: T | undefined } | EndReason {
  const labels = underWay.filter(({ to, label }) => to === from.name && label !== offer.label)
  if (labels.length >= LABELS_MAX) return 'refused'
  const incoming = underWay.filter(({ isIncoming }) => isIncoming)
  if (incoming.length < INCOMING_MAX) return { surplus: undefined }
  const surplus = surplusOf(incoming, from.name)
  return surplus ? { surplus } : 'busy'
}

/**
 * What ends where too much is under way and `from` calls too; undefined: nothing does. A few strangers who begin and never
 * finish must not keep all others out: the oldest of who has most under way.
 */
function surplusOf<T extends UnderWay>(incoming: T[], from: Name): T | undefined {
  const counts = new Map<Name, number>()
  for (const { to } of incoming) counts.set(to, (counts.get(to) ?? 0) + 1)
  const most = Math.max(...counts.values())
  if (most <= (counts.get(from) ?? 0) + 1) return undefined
  return incoming.find(({ to, isCalled }) => counts.get(to) === most && !isCalled)
}

// Descriptions as they travel: SPEC.md, Signals.

const CANDIDATE_LINE_PATTERN = /^a=(end-of-)?candidate/

/**
 * Lines that an answer may have in common with its offer: RFC 8843, 8285, 8830, 8839, 3264, 8842, 8841; and RFC 8122's
 * fingerprint, for all peers of one process have one certificate with werift.
 */
const COMMON_PATTERN =
  /^a=(group|extmap-allow-mixed|msid-semantic|ice-options|mid|sendrecv|setup|sctp-port|sctpmap|max-message-size|fingerprint)\b/

/**
 * A description of this side for the other: whole lines that end in CR LF, without candidates, which follow it, and
 * without the address that some stacks write into it once they have one (RFC 8839 §4.3.1).
 */
export function ownDescription(sdp: string | undefined): string {
  return textOf(
    linesOf(sdp ?? '')
      .filter((line) => !CANDIDATE_LINE_PATTERN.test(line))
      .map((line) => line.replace(/^c=.*/, 'c=IN IP4 0.0.0.0').replace(/^(m=\w+) [1-9]\d* /, '$1 9 ')),
  )
}

/**
 * An answer without what it only repeats from its offer. libdatachannel copies each attribute of the offer that it does
 * not know, and thereby says yes to what it does not speak: to `sctp-init` (SNAP), after which a browser sends data to
 * a side that still waits for the beginning. Who speaks it answers with a line of its own.
 */
export function answerTo(offer: string, answer: string): string {
  const offered = new Set(linesOf(offer))
  const isEcho = (line: string): boolean =>
    line.startsWith('a=') && !COMMON_PATTERN.test(line) && offered.has(line)
  return textOf(linesOf(answer).filter((line) => !isEcho(line)))
}

const linesOf = (sdp: string): string[] => sdp.split(/\r?\n/).filter((line) => line !== '')
const textOf = (lines: string[]): string => lines.map((line) => `${line}\r\n`).join('')

/** What another peer takes that does not say so (RFC 8841 §6.1). */
const MESSAGE_BYTES = 65_536

/** The largest message that the writer of this description takes, in bytes. */
export function messageBytesMaxOf(sdp: string): number {
  const [, said] = /^a=max-message-size:(\d+)/m.exec(sdp) ?? []
  if (said === undefined) return MESSAGE_BYTES
  // 0: any size.
  return Number(said) || Infinity
}
