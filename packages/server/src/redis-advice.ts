import type { Config } from './config/schema.js'
import type { Advise } from './metrics/log.js'

// What an operator can do when Redis refuses a command. `doctor` and the log say it with these words. The errors of
// connections have their advice from @peerage/redis.

interface Advice {
  says: RegExp
  todo: (redis: Config['redis']) => string
}

const ADVICE: readonly Advice[] = [
  { says: /NOPERM.*\bchannels?\b/su, todo: ({ prefix }) => `in its ACL, allow &${prefix}*` },
  { says: /NOPERM.*\bkeys?\b/su, todo: ({ prefix }) => `in its ACL, allow ~${prefix}*` },
  { says: /NOPERM/u, todo: () => 'in its ACL, allow this command, or +@all -@admin' },
  {
    says: /READONLY/u,
    todo: () =>
      'this Redis is a read-only replica: set redis.url to its primary, or to its sentinels (redis+sentinel://)',
  },
]

/** The place in a script at which Redis refused a command. */
const SCRIPT_PATTERN = /\.? script: \w+, on @user_script:\d+\.?$/u
/** Errors whose text already contains advice. */
const ADVISED_PATTERN = /: in its ACL, allow /u

/** Appends the advice to the text of a failure. */
export function redisAdvice(redis: Config['redis']): Advise {
  return (said) => {
    const found = ADVICE.find(({ says }) => says.test(said))
    if (redis.url === null || found === undefined || ADVISED_PATTERN.test(said)) return said
    return `${said.replace(SCRIPT_PATTERN, '')}; ${found.todo(redis)}`
  }
}
