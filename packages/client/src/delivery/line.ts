import type { ErrorCode, Kind, Name } from '@peerage/protocol'
import type { Timer } from '../lib/clock.js'
import type { SendResult, Via } from './signaling.js'

export interface Outgoing {
  to: Name
  kind: Kind
  body: string
  via: Via
  handshake?: string | undefined
  signal?: AbortSignal | undefined
  deadlineMs: number
}

export interface Held {
  seq: number
  body: string
  handshake: string | undefined
  via: Via
  /** To be transmitted, for the first time or again. */
  due: boolean
  tries: number
  /** How many of these a node kept back for its limits. */
  limited: number
  /** Whether a channel ever carried it: then only the recipient knows what became of it. */
  channeled: boolean
  end: (result: SendResult) => void
}

/** Everything on its way to one recipient, of one kind: signals never wait behind messages. */
export interface Line {
  to: Name
  kind: Kind
  /** The stay that the stream is bound to [D2]; absent: to be looked up. */
  since: number | undefined
  /** The stay that is known to be over. */
  gone: number | undefined
  stream: string
  /** The highest seq given out, and the highest ever transmitted. */
  last: number
  sent: number
  /** Unsettled, by seq. */
  held: Held[]
  looking: boolean
  /** The recipient is away: only the first message probes, presence or its acknowledgement wakes the rest. */
  away: boolean
  resendMs: number
  /** When news of the recipient last set off a resend. */
  wokenAt: number
  timer: Timer | undefined
  /** Runs while the recipient is to hear of a new base. */
  skip: Timer | undefined
}

export function newLine(to: Name, kind: Kind, stream: string, resendMs: number): Line {
  return {
    to,
    kind,
    since: undefined,
    gone: undefined,
    stream,
    last: 0,
    sent: 0,
    held: [],
    looking: false,
    away: false,
    resendMs,
    wokenAt: -Infinity,
    timer: undefined,
    skip: undefined,
  }
}

/** How the deadline ends a message. Each try kept back: then it reached nobody, and the reason is known. */
export function lateVerdictOf({ tries, limited, channeled }: Held): SendResult {
  return limited > 0 && limited >= tries && !channeled ? 'rate-limited' : 'timeout'
}

/** How a notice ends a message; undefined: it is kept, and tried again. */
export function verdictOf(code: ErrorCode): SendResult | undefined {
  switch (code) {
    case 'unavailable':
    // Not to be told from an absent name.
    case 'forbidden':
      return 'unavailable'
    case 'incompatible':
    case 'relay-refused':
    case 'too-large':
      return code
    default:
      return undefined
  }
}
