import { RegistryUnavailable } from '@peerage/core'
import type { RedisAddress } from './url.js'

// What Redis and ioredis say when something fails, and what an operator can do about it.

/** Redis answers, and is not what a registry needs. The words say what to change. */
export class UnfitRedis extends RegistryUnavailable {}

/** A command that failed, with Redis's own words. */
export function unavailable(error: unknown): RegistryUnavailable {
  const unfit = withoutScripts(error)
  if (unfit !== undefined) return unfit
  return new RegistryUnavailable(error instanceof Error ? error.message : String(error), { cause: error })
}

/** The user of an ACL that leaves out one of our commands, keys or channels (`aclRules`). */
export function isForbidden(error: unknown): boolean {
  return saysFirst(error, /^NOPERM/u)
}

export function isNoScript(error: unknown): boolean {
  return saysFirst(error, /^NOSCRIPT/u)
}

/** The slot of what was subscribed to is another server's. */
export function isMoved(error: unknown): boolean {
  return saysFirst(error, /^MOVED /u)
}

/** The slot of what was published is another server's, moves to one, or is nobody's. */
export function isElsewhere(error: unknown): boolean {
  return saysFirst(error, /^(?:MOVED|ASK|CLUSTERDOWN) /u)
}

function saysFirst(error: unknown, pattern: RegExp): boolean {
  return error instanceof Error && pattern.test(error.message)
}

const RETRY_DELAY_PATTERN = / Retrying from scratch after [\d.]+ms\./u

/** An error in one line. */
export function wordsOf(error: unknown): string {
  // Node reports a host with several addresses as an error without words.
  if (error instanceof AggregateError) return error.errors.map(wordsOf).join('; ')
  // A Cluster of which no node could be asked keeps the reason apart.
  if (error instanceof Error && 'lastNodeError' in error && error.lastNodeError instanceof Error)
    return `${error.message} ${wordsOf(error.lastNodeError)}`
  // How long it waits until the next attempt differs each time, and is no news.
  return (error instanceof Error ? error.message : String(error)).replace(RETRY_DELAY_PATTERN, '')
}

interface Advice {
  says: RegExp
  applies?: (address: RedisAddress) => boolean
  advice: string
}

/** What Redis or ioredis says of a connection that fails, and what its operator can do. */
const ADVICE: readonly Advice[] = [
  { says: /^NOAUTH/u, advice: 'Redis asks for a password: set redis.password, or put it into redis.url' },
  { says: /^WRONGPASS/u, advice: 'check redis.username and redis.password' },
  { says: /Unknown RESP type/u, advice: 'what answers there is no Redis' },
  {
    says: /^connect ETIMEDOUT/u,
    applies: ({ tls }) => tls,
    advice: 'if this Redis speaks no TLS, say redis:// in place of rediss://',
  },
  {
    says: /wrong version number|packet length too long/u,
    advice: 'if this Redis speaks no TLS, say redis:// in place of rediss://',
  },
  {
    says: /cluster support disabled/u,
    advice: 'this Redis is no Cluster: say redis:// in place of redis+cluster://',
  },
  {
    says: /unknown command '?sentinel/iu,
    advice: 'what answers there is no Sentinel: name its port, or say redis:// in place of redis+sentinel://',
  },
]

/** The same error, followed by what to do, where that is known. */
export function withAdvice(error: unknown, address: RedisAddress): unknown {
  const said = wordsOf(error)
  const found = ADVICE.find(({ says, applies }) => says.test(said) && (applies?.(address) ?? true))
  if (found === undefined) return error
  // Of a missing password Redis 7 says more of HELLO than of the password.
  const short = said.replace(/^(NOAUTH) HELLO must .*/su, '$1')
  const words = firstWords(short.replace(/[\s.]*(?: Please report this\.)?$/u, ''))
  return new Error(`${words}; ${found.advice}`, { cause: error })
}

/**
 * A refused SELECT, of which ioredis makes an `error` event and no more: without a second look, all that follows happens
 * in database 0.
 */
export function withoutDatabase(error: unknown, address: RedisAddress): UnfitRedis | undefined {
  if (address.topology === 'cluster' || !isReplyTo(error, 'select')) return undefined
  const said = `database ${address.database} (${error.message})`
  const advice = error.message.startsWith('NOPERM')
    ? `Redis does not let this user select ${said}: in its ACL, allow +select`
    : `Redis has no ${said}: let redis.url name one that it has, or leave the number out`
  return new UnfitRedis(advice, { cause: error })
}

const SCRIPT_COMMAND_PATTERN = /\bevalsha|\beval\b/iu
const ABSENT_PATTERN = /unknown command|not (?:allowed|supported|permitted)|disabled|no permissions/iu

/** EVAL or EVALSHA was renamed, switched off, or kept from this user. */
function withoutScripts(error: unknown): UnfitRedis | undefined {
  if (!(error instanceof Error)) return undefined
  const { message } = error
  if (!SCRIPT_COMMAND_PATTERN.test(message) || !ABSENT_PATTERN.test(message)) return undefined
  const advice =
    'EVAL and EVALSHA must not be renamed or switched off, and an ACL must allow +eval and +evalsha'
  return new UnfitRedis(`Redis runs no scripts for us (${firstWords(message)}): ${advice}`, { cause: error })
}

/** Redis repeats the arguments of a command that it does not know: a whole script. */
function firstWords(message: string): string {
  return message.split(', with args beginning with')[0] ?? message
}

/** ioredis notes which command a reply was to. */
function isReplyTo(error: unknown, name: string): error is Error {
  if (!(error instanceof Error) || !('command' in error)) return false
  const { command } = error
  return typeof command === 'object' && command !== null && 'name' in command && command.name === name
}
