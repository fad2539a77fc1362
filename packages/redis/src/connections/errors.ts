import { RegistryUnavailable } from '@peerage/core'
import type { RedisAddress } from './url.js'

// The errors of Redis and ioredis, and what an operator can do about them.

/** Redis answers, but cannot be used as our store. The message says what to change. */
export class UnfitRedis extends RegistryUnavailable {}

/** Makes a RegistryUnavailable from a failed command, with Redis's own text. */
export function unavailable(error: unknown): RegistryUnavailable {
  const unfit = withoutScripts(error)
  if (unfit !== undefined) return unfit
  return new RegistryUnavailable(error instanceof Error ? error.message : String(error), { cause: error })
}

/** Whether an ACL does not allow our user a command, key or channel (`aclRules`). */
export function isForbidden(error: unknown): boolean {
  return saysFirst(error, /^NOPERM/u)
}

export function isNoScript(error: unknown): boolean {
  return saysFirst(error, /^NOSCRIPT/u)
}

/** Whether another server serves the slot of this channel. */
export function isMoved(error: unknown): boolean {
  return saysFirst(error, /^MOVED /u)
}

/** Whether another server serves the slot of this channel, or will soon, or none does. */
export function isElsewhere(error: unknown): boolean {
  return saysFirst(error, /^(?:MOVED|ASK|CLUSTERDOWN) /u)
}

function saysFirst(error: unknown, pattern: RegExp): boolean {
  return error instanceof Error && pattern.test(error.message)
}

const RETRY_DELAY_PATTERN = / Retrying from scratch after [\d.]+ms\./u

/** An error in one line. */
export function wordsOf(error: unknown): string {
  // Node reports a host with several addresses as an error without a message.
  if (error instanceof AggregateError) return error.errors.map(wordsOf).join('; ')
  // For a Cluster of which no node answers, ioredis keeps the reason in a separate field.
  if (error instanceof Error && 'lastNodeError' in error && error.lastNodeError instanceof Error)
    return `${error.message} ${wordsOf(error.lastNodeError)}`
  // The delay until the next attempt differs each time, so it would make every error look new.
  return (error instanceof Error ? error.message : String(error)).replace(RETRY_DELAY_PATTERN, '')
}

interface Advice {
  says: RegExp
  applies?: (address: RedisAddress) => boolean
  advice: string
}

const CHECK = 'check redis.url, the network, and redis-cli PING'

/**
 * Errors of connections, and what the operator can do about them. The first entry that applies counts, so the last
 * entry is for all other errors.
 */
const ADVICE: readonly Advice[] = [
  { says: /^NOAUTH/u, advice: 'Redis asks for a password: set redis.password, or put it into redis.url' },
  { says: /^WRONGPASS/u, advice: 'check redis.username and redis.password' },
  { says: /Unknown RESP type/u, advice: 'the server that answers there is not a Redis' },
  {
    says: /^connect ETIMEDOUT/u,
    applies: ({ tls }) => tls,
    advice: 'if this Redis does not use TLS, write redis:// instead of rediss://',
  },
  {
    says: /wrong version number|packet length too long/u,
    advice: 'if this Redis does not use TLS, write redis:// instead of rediss://',
  },
  {
    says: /cluster support disabled/u,
    advice: 'this Redis is not a Cluster: write redis:// instead of redis+cluster://',
  },
  {
    says: /unknown command '?sentinel/iu,
    advice:
      'the server that answers there is not a Sentinel: name its port, or write redis:// instead of redis+sentinel://',
  },
  {
    says: /certificate/iu,
    advice: 'set redis.ca to the file of the authority that signed the certificate of this Redis',
  },
  {
    says: /ECONNRESET|Connection is closed/u,
    applies: ({ tls }) => !tls,
    advice: `if this Redis uses TLS, write rediss:// instead of redis://. Else ${CHECK}`,
  },
  { says: /^/u, advice: CHECK },
]

/** The same error, followed by what to do, if that is known. */
export function withAdvice(error: unknown, address: RedisAddress): unknown {
  const said = wordsOf(error)
  const found = ADVICE.find(({ says, applies }) => says.test(said) && (applies?.(address) ?? true))
  if (found === undefined) return error
  // When a password is missing, Redis 7 says more about HELLO than about the password.
  const short = said.replace(/^(NOAUTH) HELLO must .*/su, '$1')
  const words = firstWords(short.replace(/[\s.]*(?: Please report this\.)?$/u, ''))
  return new Error(`${words}; ${found.advice}`, { cause: error })
}

/**
 * Recognizes a refused SELECT. ioredis only emits an `error` event for it, and would run all later commands in
 * database 0.
 */
export function withoutDatabase(error: unknown, address: RedisAddress): UnfitRedis | undefined {
  if (address.topology === 'cluster' || !isReplyTo(error, 'select')) return undefined
  const said = `database ${address.database} (${error.message})`
  const advice = error.message.startsWith('NOPERM')
    ? `Redis does not let this user select ${said}: in its ACL, allow +select`
    : `Redis has no ${said}: name one that it has in redis.url, or leave the number out`
  return new UnfitRedis(advice, { cause: error })
}

const SCRIPT_COMMAND_PATTERN = /\bevalsha|\beval\b/iu
const ABSENT_PATTERN = /unknown command|not (?:allowed|supported|permitted)|disabled|no permissions/iu

/** Recognizes that EVAL or EVALSHA was renamed, switched off, or not allowed to this user. */
function withoutScripts(error: unknown): UnfitRedis | undefined {
  if (!(error instanceof Error)) return undefined
  const { message } = error
  if (!SCRIPT_COMMAND_PATTERN.test(message) || !ABSENT_PATTERN.test(message)) return undefined
  const advice =
    'EVAL and EVALSHA must not be renamed or switched off, and an ACL must allow +eval and +evalsha'
  return new UnfitRedis(`Redis runs no scripts for us (${firstWords(message)}): ${advice}`, { cause: error })
}

/** Cuts the arguments off, which Redis repeats for a command that it does not know: a whole script. */
function firstWords(message: string): string {
  return message.split(', with args beginning with')[0] ?? message
}

/** Whether the error is the reply to this command: ioredis notes the command in the error. */
function isReplyTo(error: unknown, name: string): error is Error {
  if (!(error instanceof Error) || !('command' in error)) return false
  const { command } = error
  return typeof command === 'object' && command !== null && 'name' in command && command.name === name
}
