import type { Name } from '@peerage/protocol'
import { isObject } from '@peerage/protocol'
import { OfferRate } from '../offer-rate.js'
import type { P2PContext, SendResult, Stay } from '../../delivery/signaling.js'

// What two P2P controllers say to each other before they have a channel. Opaque to every node; whatever comes from
// the other side may be hostile, so nothing reaches WebRTC that does not pass here.

/** What the channel of a handshake is: both sides make it from the same terms. */
export interface Terms {
  label: string
  ordered: boolean
  /** How often a lost message is sent again; undefined: until it arrives. */
  maxRetransmits?: number | undefined
}

export type HandshakeSignal =
  | ({ type: 'offer'; sdp: string; restart: boolean; resumes?: string | undefined } & Terms)
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
const CANDIDATES_MAX = 20
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
      return { type, reason: readReason(input['reason']) }
    default:
      return undefined
  }
}

function readReason(reason: unknown): EndReason {
  return isReason(reason) ? reason : 'ended'
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
const refusals = new WeakMap<P2PContext, number>()

const rates = new WeakMap<P2PContext, OfferRate>()

/** Whether what a peer began may still cost this one something. */
export function isWithinRate(context: P2PContext, from: Stay): boolean {
  let rate = rates.get(context)
  if (rate === undefined) rates.set(context, (rate = new OfferRate(context.clock)))
  return rate.take(from.name)
}

/**
 * Tells a peer that its handshake comes to nothing here. Over the bound or the rate nothing is said: its deadline tells
 * it.
 */
export function refuse(context: P2PContext, from: Stay, handshake: string, reason: EndReason): void {
  const under = refusals.get(context) ?? 0
  if (under >= REFUSALS_MAX || !isWithinRate(context, from)) return
  refusals.set(context, under + 1)
  void sendSignal(context, from.name, handshake, { type: 'end', reason }).then(() =>
    refusals.set(context, (refusals.get(context) ?? 1) - 1),
  )
}
