import { MARK } from '../keys.js'
import { NOW, script } from './script.js'

const VIEW = `
local answer = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
`

/**
 * KEYS: nodes. ARGV: node, lease, retention, may appear (1|0): a node within its lease, or a new one; when it was
 * settled at the latest, or 0; is new (1|0): a node that has never beaten.
 * Answers alive (1|0), was there (1|0), now, then the whole view: member, score, member, score …
 * Members: a node and the end of its lease; `s:` and a node, and when it last was settled; the mark, `born:` and when the
 * set was made. The mark's score is negative, so that what forgets the dead, whose scores are positive, passes it by.
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
  -- A node that the set had forgotten has its names to write back first.
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

/** KEYS: birth. ARGV: retention. Answers when the mark was made, which is now where there is none. */
export const birthScript = script(`${NOW}
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

/** KEYS: nodes. ARGV: node, how long ago its lease shall have ended, how long that is remembered. */
export const leaveScript = script(`${NOW}
redis.call('ZADD', KEYS[1], text(now - tonumber(ARGV[2])), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return redis.call('ZREM', KEYS[1], 's:' .. ARGV[1])
`)
