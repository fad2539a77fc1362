import type { OnError } from '@peerage/core'
import { reasonOf } from '../lib/reason.js'
import { pino, type DestinationStream, type Logger } from 'pino'

export type { Logger } from 'pino'

const SECRET_KEYS = ['token', 'secret', 'password', 'credential', 'authorization']

/** JSON lines. Whatever carries a secret's name is redacted, one level deep too. `extra` is read for each line. */
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

/** Bytes of lines that may wait for a disk with room; what is beyond is lost. */
const WAITING_LINES_MOST = 1_048_576

/**
 * Standard output. The newest lines must be out when the process ends, so writes are synchronous. A line that cannot
 * be written, as to a file on a full disk, waits for the next one: it is no reason to end the process.
 */
export function standardOutput(): DestinationStream {
  const output = pino.destination({ fd: 1, sync: true, maxLength: WAITING_LINES_MOST })
  output.on('error', () => {})
  return output
}

/** While something stays broken, each stage says so this often, with the number of times in between. */
const REPEAT_EVERY_MS = 10_000

/**
 * What the store says when it refuses: ours, and ioredis's for an error that Redis itself answered; and what is said of
 * another node that no link reaches.
 */
const OUTAGES = new Set(['RegistryUnavailable', 'ReplyError', 'LinkUnreachable'])

/** Logs background failures so that an outage is a few lines, not a flood. */
export function errorLog(log: Logger, now: () => number): OnError {
  const stages = new Map<string, { at: number; text: string; suppressed: number }>()
  return (error, context) => {
    const text = reasonOf(error)
    const last = stages.get(context.stage)
    if (last?.text === text && now() - last.at < REPEAT_EVERY_MS) {
      last.suppressed++
      return
    }
    stages.set(context.stage, { at: now(), text, suppressed: 0 })
    const repeated = last?.text === text && last.suppressed > 0 ? { repeated: last.suppressed } : {}
    // A stack helps with a fault of ours; an outage has none worth reading.
    const isOutage = error instanceof Error && (OUTAGES.has(error.name) || 'code' in error)
    const stack = error instanceof Error && !isOutage ? { stack: error.stack } : {}
    log.warn({ ...context, ...repeated, ...stack, error: text }, 'failed')
  }
}

/** What happened to the node, at the level that it deserves. */
export function logEvent(log: Logger, event: string, details: Record<string, unknown>): void {
  // A dozen to each handshake, and one to each name of a node that is no more: for who looks into one.
  if (event === 'signal' || event.endsWith(' not told') || isOrdinary(event, details))
    return log.debug(details, event)
  const isBad = event === 'lapsed' || (event === 'health' && details['healthy'] !== true)
  log[isBad ? 'warn' : 'info'](details, event)
}

/** Links come with traffic, and go with nodes: a tier of hundreds would tell of little else. */
function isOrdinary(event: string, { reason }: Record<string, unknown>): boolean {
  if (event === 'link up') return true
  return event === 'link down' && (reason === 'replaced' || reason === 'identity' || reason === 'closed')
}
