import { MARK } from '../keys.js'
import { NOW, script } from './script.js'

const VIEW = `
local answer = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
`

/**
 * KEYS: nodes. ARGV: node, lease, retention, may appear (1|0): a new node, or one within its lease; the latest time
 * at which it was settled, or 0; is new (1|0): it has never beaten.
 *
 * Answers alive (1|0), was there (1|0), now, then the whole view: member, score, member, score … Members:
 * - a node, with the end of its lease;
 * - `s:` and a node, with when it last was settled;
 * - the mark: `born:` and when the set was created. Its score is negative, so that the removal of dead nodes, whose
 *   scores are positive, skips it.
 */
export const beatScript = script(`${NOW}
local node, lease, retention = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, '(' .. text(now - retention))
if #redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(0', 'LIMIT', 0, 1) == 0 then
  redis.call('ZADD', KEYS[1], text(-now), '${MARK}' .. text(now))
end
local ends = redis.call('ZSCORE', KEYS[1], node)
local alive = ARGV[4] == '1'
if ends then alive = tonumber(ends) > now end
if alive then
  redis.call('ZADD', KEYS[1], text(now + lease + 1), node)
  -- A node that the set had forgotten must write its names back first.
  local settled = math.min(now, tonumber(ARGV[5]))
  if settled > 0 and (ends or ARGV[6] == '1') then redis.call('ZADD', KEYS[1], text(settled), 's:' .. node) end
end
redis.call('PEXPIRE', KEYS[1], text(lease + retention))
${VIEW}
table.insert(answer, 1, text(now))
table.insert(answer, 1, ends and '1' or '0')
table.insert(answer, 1, alive and '1' or '0')
return answer
`)

/** KEYS: the mark of a master. ARGV: retention. Answers when the mark was created: now, if there was none. */
export const masterMarkScript = script(`${NOW}
local made = redis.call('GET', KEYS[1]) or text(now)
redis.call('SET', KEYS[1], made, 'PX', ARGV[1])
return made
`)

/** KEYS: nodes. Answers as a beat does, without beating. */
export const viewScript = script(`${NOW}
${VIEW}
table.insert(answer, 1, text(now))
table.insert(answer, 1, '1')
table.insert(answer, 1, '1')
return answer
`)

/** KEYS: nodes. ARGV: node, how long ago its lease shall have ended, the TTL of the set. */
export const leaveScript = script(`${NOW}
redis.call('ZADD', KEYS[1], text(now - tonumber(ARGV[2])), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return redis.call('ZREM', KEYS[1], 's:' .. ARGV[1])
`)
