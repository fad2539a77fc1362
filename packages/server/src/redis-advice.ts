import type { Config } from './config/schema.js'
import type { Advise } from './metrics/log.js'

// What an operator can do about a wrong Redis. `doctor`, the log and a start that fails all say it with these words.

const CHECK = 'check redis.url, the network, and redis-cli PING'

interface Advice {
  says: RegExp
  /** Undefined: the error ends with its advice already, because @peerage/redis knows what Redis's words mean. */
  todo: ((redis: Config['redis']) => string) | undefined
}

/** Redis itself answered with these words. */
const ANSWERS: readonly Advice[] = [
  { says: /NOPERM.*\bchannels?\b/su, todo: ({ prefix }) => `in its ACL, allow &${prefix}*` },
  { says: /NOPERM.*\bkeys?\b/su, todo: ({ prefix }) => `in its ACL, allow ~${prefix}*` },
  { says: /NOPERM/u, todo: () => 'in its ACL, allow this command, or +@all -@admin' },
  {
    says: /READONLY/u,
    todo: () =>
      'this Redis is a read-only replica: let redis.url name its primary, or its sentinels (redis+sentinel://)',
  },
]

/** A connection to Redis failed with these words. */
const CONNECTION_FAILURES: readonly Advice[] = [
  {
    says: /NOAUTH|WRONGPASS|Unknown RESP type|speaks no TLS|is no Cluster|is no Sentinel|older than|Redis (?:has no database|does not let|runs no scripts)/u,
    todo: undefined,
  },
  {
    says: /certificate/iu,
    todo: () => 'let redis.ca name the file of the authority that signed the certificate of this Redis',
  },
  {
    says: /ECONNRESET|Connection is closed/u,
    todo: ({ url }) =>
      url?.startsWith('rediss') === true
        ? CHECK
        : `if this Redis speaks TLS, say rediss:// in place of redis://; else ${CHECK}`,
  },
  { says: /./su, todo: () => CHECK },
]

/** Where in a script of ours the refused command stands. */
const SCRIPT_PATTERN = /\.? script: \w+, on @user_script:\d+\.?$/u

const NOT_CONNECTED = /^not connected to Redis(?: for \w+)?: /u

/** Appends the advice to the words of a failure. `stage` says where it happened. */
export function redisAdvice(redis: Config['redis']): Advise {
  return (said, stage) => {
    if (redis.url === null) return said
    const isOfConnection = stage === 'redis connection' || (stage === 'health' && NOT_CONNECTED.test(said))
    const known = isOfConnection ? [...ANSWERS, ...CONNECTION_FAILURES] : ANSWERS
    const todo = known.find(({ says }) => says.test(said))?.todo
    return todo === undefined ? said : `${said.replace(SCRIPT_PATTERN, '')}; ${todo(redis)}`
  }
}
