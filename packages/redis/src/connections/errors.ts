import type { RedisAddress } from './url.js'

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
  const words = short
    .replace(/[\s.]*(?: Please report this\.)?$/u, '')
    .replace(/, with args beginning with.*/u, '')
  return new Error(`${words}; ${found.advice}`, { cause: error })
}

/** A Cluster of which no node could be asked keeps the reason apart. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const last = 'lastNodeError' in error ? error.lastNodeError : undefined
  return last instanceof Error ? `${error.message} ${last.message}` : error.message
}
