import { isatty } from 'node:tty'
import type { OnError } from '@peerage/core'
import { pino, type DestinationStream, type Logger } from 'pino'
import type { OnRefused } from '../gateway/shared/events.js'
import { reasonOf } from '../lib/reason.js'
import { prettyLine } from './pretty.js'

export type { Logger } from 'pino'

const SECRET_KEYS = ['token', 'secret', 'password', 'credential', 'authorization']

/**
 * Writes JSON lines. A field with the name of a secret is redacted, also one level down. `extra` is read for each line.
 */
export function createLogger(
  level: string,
  destination: DestinationStream,
  extra: () => Record<string, unknown> = () => ({}),
): Logger {
  const paths = SECRET_KEYS.flatMap((key) => [key, `*.${key}`])
  return pino(
    {
      level,
      base: null,
      mixin: extra,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths, censor: '[redacted]' },
    },
    destination,
  )
}

/** `auto`: pretty on a terminal, JSON elsewhere. */
export type LogFormat = 'auto' | 'pretty' | 'json'

type Environment = Readonly<Record<string, string | undefined>>

/** The most bytes of lines that wait for room on the disk. Lines beyond it are lost. */
const WAITING_LINES_MOST = 1_048_576

/**
 * Standard output. Writes are synchronous, so that the newest lines are out when the process ends. A line that cannot
 * be written, for example to a file on a full disk, waits for the next line: it does not end the process. Whether
 * there are colors depends on `env`. Without it, Node decides by the environment of this process.
 */
export function standardOutput(format: LogFormat, env?: Environment): DestinationStream {
  const output = pino.destination({ fd: 1, sync: true, maxLength: WAITING_LINES_MOST })
  output.on('error', () => {})
  if (!isPretty(format)) return output
  const isColored =
    isTerminal() && process.stdout.hasColors(env === undefined ? undefined : colorEnvironment(env))
  return { write: (line) => void output.write(prettyLine(line, isColored)) }
}

/**
 * The variables from which Node decides about colors, such as TERM and FORCE_COLOR. We leave out CI, because a terminal
 * in CI shows colors too, and an empty NO_COLOR, because it counts as not set (no-color.org). Node 20 heeds both.
 */
function colorEnvironment(env: Environment): object {
  const { CI: _, NO_COLOR, ...rest } = env
  return NO_COLOR === undefined || NO_COLOR === '' ? rest : { ...rest, NO_COLOR }
}

/** Whether standard output gets lines for people. */
export function isPretty(format: LogFormat): boolean {
  return format === 'auto' ? isTerminal() : format === 'pretty'
}

const isTerminal = (): boolean => isatty(1)

/** While the same thing keeps failing, it is logged this often, with the number of times in between. */
const REPEAT_EVERY_MS = 10_000

/**
 * Names of errors that come with an outage: ours, ioredis's for an error that Redis itself answered, and the one for a
 * node that no link reaches.
 */
const OUTAGES = new Set(['RegistryUnavailable', 'ReplyError', 'LinkUnreachable'])

/** Adds what an operator can do to the text of an error, if that is known. */
export type Advise = (text: string) => string

/** How many different refusals are told apart within REPEAT_EVERY_MS. A peer can cause very many. */
const REFUSALS_MOST = 100
/** How many different failures are. In an outage there are a dozen. A faulty webhook may answer something else each time. */
const FAILURES_MOST = 30
/** What another server did wrong. Our stack trace says nothing about that. */
const OUTSIDE: ReadonlySet<string> = new Set(['redis connection', 'access webhook', 'jwks'])

/** Lines that repeat. One of each kind is logged in REPEAT_EVERY_MS. */
class Repeats {
  readonly #now: () => number
  readonly #most: number
  readonly #kinds = new Map<string, { at: number; suppressed: number }>()

  /** `most`: how many kinds are told apart. */
  constructor(now: () => number, most: number) {
    this.#now = now
    this.#most = most
  }

  /** As `#next`, for the kind if there is room for it, and else for all other kinds of the group. Groups are a closed set. */
  next(group: string, kind: string): { repeated?: number } | undefined {
    return this.#next(this.#hasRoom(kind) ? kind : group)
  }

  /** Kinds that were not seen lately make room for others. */
  #hasRoom(kind: string): boolean {
    if (this.#kinds.has(kind)) return true
    if (this.#kinds.size >= this.#most)
      for (const [former, { at }] of this.#kinds)
        if (this.#now() - at >= REPEAT_EVERY_MS) this.#kinds.delete(former)
    return this.#kinds.size < this.#most
  }

  /**
   * The field for the line: how many were left out since the last one, if any were. Undefined: leave this one out, too.
   */
  #next(kind: string): { repeated?: number } | undefined {
    const last = this.#kinds.get(kind)
    if (last !== undefined && this.#now() - last.at < REPEAT_EVERY_MS) {
      last.suppressed++
      return undefined
    }
    this.#kinds.set(kind, { at: this.#now(), suppressed: 0 })
    return last !== undefined && last.suppressed > 0 ? { repeated: last.suppressed } : {}
  }
}

/** Logs background failures so that an outage is a few lines, not a flood. */
export function errorLog(log: Logger, now: () => number, advise: Advise = (text) => text): OnError {
  const repeats = new Repeats(now, FAILURES_MOST)
  return (error, context) => {
    const text = advise(reasonOf(error))
    const repeated = repeats.next(context.stage, `${context.stage} ${text}`)
    if (repeated === undefined) return
    // A stack trace helps to find a bug of ours. In an outage it only hides the reason.
    const isOutage = error instanceof Error && (OUTAGES.has(error.name) || 'code' in error)
    const stack =
      error instanceof Error && !isOutage && !OUTSIDE.has(context.stage) ? { stack: error.stack } : {}
    log.warn({ ...context, ...repeated, ...stack, error: text }, 'failed')
  }
}

/** What an Origin header may hold and be logged: at most a host name of full length, and nothing that a terminal interprets. */
const LOGGED_ORIGIN = /^[\x21-\x7e]{1,300}$/

/**
 * Logs refusals of access. Refusals that differ at most in their origins are one line every ten seconds. If there are too
 * many different ones, those with the same wire and code are.
 */
export function refusalLog(log: Logger, now: () => number): OnRefused {
  const repeats = new Repeats(now, REFUSALS_MOST)
  return ({ wire, code, app, detail, origin }) => {
    const pair = `${wire} ${code}`
    const kind = `${pair} ${app ?? ''} ${detail ?? ''}`
    const repeated = repeats.next(pair, kind)
    if (repeated === undefined) return
    const of = app === undefined ? {} : { app }
    const why = detail === undefined ? {} : { why: detail }
    const from = origin !== undefined && LOGGED_ORIGIN.test(origin) ? { origin } : {}
    log.info({ ...why, wire, code, ...of, ...from, ...repeated }, 'refused')
  }
}

/** Events of each connection to Redis. A connection that is lost again and again must not flood the log. */
const FLAPPING = new Set(['health', 'doubt'])
/** The same event is logged at most this often within REPEAT_EVERY_MS. */
const SAME_MOST = 5
/** With more different events than this, all counts start again, so that they do not grow without end. */
const COUNTED_MOST = 100

export type EventLog = (event: string, details: Record<string, unknown>) => void

/** Logs what happens to the node, each event at its level. */
export function eventLog(log: Logger, now: () => number, advise: Advise = (text) => text): EventLog {
  const counts = new Map<string, { since: number; count: number }>()
  const isFlood = (event: string, details: Record<string, unknown>): boolean => {
    if (!FLAPPING.has(event)) return false
    const key = `${event} ${JSON.stringify(details)}`
    const last = counts.get(key)
    if (last !== undefined && now() - last.since < REPEAT_EVERY_MS) return ++last.count > SAME_MOST
    if (counts.size >= COUNTED_MOST) counts.clear()
    counts.set(key, { since: now(), count: 1 })
    return false
  }
  return (event, details) => {
    if (isDetail(event, details)) return log.debug(details, event)
    if (isFlood(event, details)) return
    const why = typeof details['why'] === 'string' ? { why: advise(details['why']) } : {}
    const isBad = event === 'lapsed' || (event === 'health' && details['healthy'] !== true)
    log[isBad ? 'warn' : 'info']({ ...details, ...why }, event)
  }
}

/**
 * Events that are useful only to somebody who looks into one of them: a handshake has a dozen, and a dead node one for
 * each of its names. Links come with traffic and go with nodes, so a large cluster would log little else.
 */
function isDetail(event: string, { reason }: Record<string, unknown>): boolean {
  if (event === 'signal' || event.endsWith(' not told') || event === 'link up') return true
  return event === 'link down' && (reason === 'replaced' || reason === 'identity' || reason === 'closed')
}
