import { RegistryUnavailable } from '@peerage/core'
import type { RedisAddress } from './url.js'

/** Redis answers, and is not what a registry needs. The words say what to change. */
export class UnfitRedis extends RegistryUnavailable {}

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
export function withoutScripts(error: unknown): UnfitRedis | undefined {
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
